"""The processes of a server's Python models, one an instance: which run, and which were killed or crashed.

Triton starts such a process once. When it dies the model stays READY, and answers every request with an error.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_PROGRAM = b"triton_python_backend_stub"
_STATE, _EXIT = 0, 49  # fields of /proc/PID/stat behind the name; the last one is its exit status


@dataclass
class Stubs:
    """Looks at the children of a server; a look reads some fifty small files of /proc and asks the server nothing."""

    server: int
    running: dict[int, Path] = field(default_factory=dict)  # process -> the version folder that it serves
    dead: dict[int, Path] = field(default_factory=dict)  # those that ended by themselves, as long as Triton keeps them

    def look(self) -> dict[int, Path]:
        """Those that died since the look before."""
        running, dead = {}, {}
        for process in _children(self.server):
            with suppress(OSError):  # gone meanwhile
                status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
                fields = status.rpartition(")")[2].split()
                folder = self.running.get(process) or self.dead.get(process) or _version_folder(process)
                if folder is not None and fields[_STATE] != "Z":
                    running[process] = folder
                elif folder is not None and fields[_EXIT] != "0":  # Triton ends one with 0, and takes it at once
                    dead[process] = folder
        new = {process: folder for process, folder in dead.items() if process not in self.dead}
        self.running, self.dead = running, dead
        return new

    def models(self) -> set[str]:
        """The models of which a process runs."""
        return {folder.parent.name for folder in self.running.values()}


def _children(process: int) -> list[int]:
    """The children of all threads of a process."""
    found: list[int] = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            found += map(int, file.read_text(encoding="utf-8").split())
    return found


def _version_folder(process: int) -> Path | None:
    """What a stub was started on, MODEL/VERSION with its path; None for another program."""
    words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    if Path(words[0].decode(errors="replace")).name.encode() != _PROGRAM or len(words) < 2:
        return None
    return Path(words[1].decode(errors="surrogateescape")).parent
