"""One thing that is wrong with a model repository: where, what Triton says of it, how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tbgen.generator.rules.problem import Effect


@dataclass(frozen=True)
class Place:
    """A file, as a path from the repository's folder, and a line of it (1 is the first), if one is to blame."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Finding:
    """What is wrong with one model.

    Attributes:
        effect: as a rulebook's Problem has it.
        says: what Triton says of it, in its own words where it has any.
    """

    effect: Effect
    model: str
    place: Place
    says: str
    mend: str

    @property
    def severity(self) -> Literal["error", "warning"]:
        """An advice is a warning; all else must be mended."""
        return "warning" if self.effect == "advice" else "error"
