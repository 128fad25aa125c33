"""One use of a step in a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Step:
    """One use of a step: its file (a name in backends/, or a user's path), class, settings and the assets it reads.

    separate: it is a Triton model of its own, with its own instances and environment.
    """

    file: str | Path
    name: str
    settings: Mapping[str, Any]
    assets: tuple[Path, ...] = ()
    separate: bool = False
