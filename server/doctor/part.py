"""What `tbgen doctor` says of one part of a machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WORKS, MISSING, BROKEN = "works", "missing", "broken"


@dataclass(frozen=True)
class MachinePart:
    """A part of a machine, and whether it can be used.

    state: WORKS; MISSING: not there, and nothing that is there needs it; BROKEN: there, and of no use as it stands.
    says: its version and place, or what is wrong. enables: what it is for. mend: what to do; empty where it works.
    """

    name: str
    state: str
    says: str
    enables: str
    mend: str = ""


def broken_parts(parts: Iterable[MachinePart]) -> list[str]:
    """The names of the parts that are there and cannot be used."""
    return [part.name for part in parts if part.state == BROKEN]
