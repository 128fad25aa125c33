"""A TensorRT plan's file, read by name from the plan itself; an error is a sentence for the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.plan_runner import Plan as Plan
from tbgen.export.plan_runner import PlanError, engine_from_file, plan_of_engine
from tbgen.export.plan_runner import logger_of as logger_of


def tensorrt() -> Any:
    """The package tensorrt. Raises MissingExtra."""
    return require("tensorrt", extra="tensorrt")


def plan_from_file(file: Path) -> Plan:
    """Read a plan back. Raises UserError for one that this TensorRT or GPU cannot load."""
    tensorrt()
    try:
        engine, _ = engine_from_file(file)
    except PlanError as error:
        raise UserError(str(error)) from None
    return plan_of_engine(engine)
