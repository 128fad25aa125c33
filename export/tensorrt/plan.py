"""A TensorRT plan's file, read by name from the plan itself; an error is a sentence for the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tbgen.backends.plan import Plan as Plan
from tbgen.backends.plan import PlanError, engine_from_file, plan_of_engine
from tbgen.backends.plan import logger_of as logger_of
from tbgen.export.errors import UserError, require


def tensorrt_package() -> Any:
    """The package tensorrt. Raises MissingExtra."""
    return require("tensorrt", extra="tensorrt")


def title(trt: Any) -> str:
    """The product that a module is, and its version: TensorRT, or TensorRT-RTX, which is the same API."""
    return f"TensorRT{'-RTX' if 'rtx' in trt.__name__ else ''} {trt.__version__}"


@contextmanager
def plan_errors() -> Iterator[None]:
    """Turn an error of the runner of plans into one for the user."""
    try:
        yield
    except PlanError as error:
        raise UserError(str(error)) from error


def plan_from_file(file: Path) -> Plan:
    """Read a plan back. Raises UserError for one that this TensorRT or GPU cannot load."""
    tensorrt_package()
    with plan_errors():
        engine, _ = engine_from_file(file)
    return plan_of_engine(engine)
