"""A repository with one model that was changed, and what check finds in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tbgen.generator.check.check import check_repository
from tbgen.generator.check.finding import Finding
from tests.triton.broken.changes import Break
from tests.triton.good_models import engine, python


def found(
    folder: Path, model: Callable[[Path], Path], change: Break, *, release: str | None = None, name: str = "m"
) -> list[Finding]:
    """What is found in a repository with one model that was changed, beside the good ones."""
    for good in (engine, python):
        good(folder / f"good_{good.__name__}")
    change(model(folder / name))
    return check_repository(folder, release=release)
