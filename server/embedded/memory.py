"""The memory of a server's processes, of those of its models too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """Bytes resident in processes, and bytes of shared memory that they have mapped; what several map counts once."""

    resident: float
    shared: float


def memory_of(process: int) -> Memory:
    """What a process and its descendants take now. Raises OSError when one ends meanwhile."""
    resident = shared = 0
    for each in _family(process):
        text = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="utf-8")
        sizes = {row.split(":")[0]: int(row.split()[1]) for row in text.splitlines()[1:]}
        resident += sizes["Pss_Anon"] + sizes["Pss_File"]
        shared += sizes["Pss_Shmem"]
    return Memory(resident * 1024, shared * 1024)


def _family(parent: int) -> list[int]:
    """A process and its descendants."""
    children = [
        int(child)
        for task in Path(f"/proc/{parent}/task").iterdir()
        for child in (task / "children").read_text(encoding="utf-8").split()
    ]
    return [parent, *(each for child in children for each in _family(child))]
