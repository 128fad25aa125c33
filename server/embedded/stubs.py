"""The processes of a server's Python models, one an instance: which run, and which were killed or crashed.

Triton starts such a process once. When it dies the model stays READY, and answers every request with an error.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_PROGRAM = b"triton_python_backend_stub"
_NAME = _PROGRAM.decode()[:15]  # as much of it as /proc/PID/stat has, in parentheses
_STATE, _EXIT = 0, 49  # fields of /proc/PID/stat behind the name; the last one is its exit status


@dataclass
class Stubs:
    """Looks at the children of a server; a look reads some fifty small files of /proc and asks the server nothing."""

    server: int
    running: dict[int, Path] = field(default_factory=dict)  # process -> the version folder that it serves
    dead: set[int] = field(default_factory=set)  # those that ended by themselves, as long as Triton keeps them
    whole: Counter[Path] = field(default_factory=Counter)  # version folder -> how many processes it should have

    def look(self) -> set[Path]:
        """The version folders of those that died since the look before.

        A dead process tells no more what it served. One that was never seen alive, since it died soon after a load, is
        taken for one of a model that has fewer than it should.
        """
        running: dict[int, Path] = {}
        dead = set[int]()
        for process in _children(self.server):
            with suppress(OSError):  # gone meanwhile
                name, _, rest = _text_of(process, "stat").rpartition(")")
                fields, known = rest.split(), process in self.running or process in self.dead
                if fields[_STATE] != "Z":
                    folder = self.running.get(process) or _version_folder(process)
                    running |= {process: folder} if folder else {}
                elif fields[_EXIT] != "0" and (known or name.endswith(_NAME)):  # Triton ends one with 0
                    dead.add(process)
        new, there = dead - self.dead, Counter(running.values())
        self.whole |= there
        self.whole -= Counter(self.running[each] for each in self.running.keys() - running.keys() - dead)
        died = {self.running[each] for each in new if each in self.running}
        if new - self.running.keys():
            died |= {folder for folder, count in self.whole.items() if there[folder] < count}
        self.running, self.dead = running, dead
        return died

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


def _text_of(process: int, name: str) -> str:
    """A file of a process in /proc. Raises OSError."""
    return Path(f"/proc/{process}/{name}").read_text(encoding="utf-8", errors="replace")


def _version_folder(process: int) -> Path | None:
    """What a stub was started on, MODEL/VERSION with its path; None for another program."""
    words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    if Path(words[0].decode(errors="replace")).name.encode() != _PROGRAM or len(words) < 2:
        return None
    return Path(words[1].decode(errors="surrogateescape")).parent
