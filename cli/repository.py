"""The model repository that a command is given: what a killed run had begun in it is finished first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tbgen.cli.show import say


class NamedPath(click.Path):
    """A path. An empty word is none: as one, a variable that is not set would name the folder that one is in."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty; name a path, such as . for the folder that you are in", param, ctx)
        return super().convert(value, param, ctx)


class ModelRepository(NamedPath):
    """A folder of models."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The folder's path, once what an interrupted run had begun to rename into it is finished."""
        from tbgen.generator.publishing import finish_interrupted

        path = Path(str(super().convert(value, param, ctx)))
        if ctx and ctx.resilient_parsing:  # of a completion, which changes nothing
            return path
        if moved := finish_interrupted(path):
            say(f"Finished what an interrupted run had begun: {', '.join(moved)}", note=True)
        return path
