"""The processes of a server's Python models, one an instance: which run, and which were killed or crashed.

Triton starts such a process once. When it dies the model stays READY, and answers every request with an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_PROGRAM = b"triton_python_backend_stub"
_NAME = _PROGRAM.decode()[:15]  # as much of it as /proc/PID/stat has, in parentheses
_STATE, _PARENT, _EXIT = 0, 1, 49  # fields of /proc/PID/stat behind the name; the last one is its exit status


@dataclass
class Stubs:
    """Looks at the children of a server; a look reads some fifty small files of /proc.

    A version is MODEL/VERSION. A dead process tells no more what it served: when one dies that was never seen alive,
    the server is asked what should run.
    """

    server: int
    expected: Callable[[], Mapping[Path, int]] = dict  # the READY versions -> how many processes each should have
    running: dict[int, Path] = field(default_factory=dict)  # process -> the version that it serves
    dead: set[int] = field(default_factory=set)  # those that ended by themselves, as long as Triton keeps them
    unknown: bool = False  # whether one is dead since the last look that no READY version lacks
    given_up: set[Path] = field(default_factory=set)  # versions that lack processes, and are not told until one runs

    def look(self) -> set[Path]:
        """The versions of which a process died since the look before."""
        running: dict[int, Path] = {}
        dead = set[int]()
        seen = self.running.keys() | self.dead  # a child is in no list while it goes from a thread that ends to another
        for process in dict.fromkeys([*_children(self.server), *seen]):
            with suppress(OSError):  # gone meanwhile
                name, _, rest = _text_of(process, "stat").rpartition(")")
                fields = rest.split()
                if fields[_PARENT] != str(self.server):  # another process has its number
                    continue
                if fields[_STATE] != "Z":
                    version = self.running.get(process) or _version(process)
                    running |= {process: version} if version else {}
                elif fields[_EXIT] != "0" and (process in seen or name.endswith(_NAME)):  # Triton ends one with 0
                    dead.add(process)
        died = {self.running[each] for each in dead - self.dead if each in self.running}
        unseen, lacking = dead - seen, set[Path]()
        self.running, self.dead = running, dead
        self.given_up -= {*running.values()}
        if unseen:
            try:
                lacking = self._lacking()
            except OSError:  # the server does not answer: it is asked again with the next look
                self.dead -= unseen
        self.unknown = bool(unseen & self.dead) and not lacking
        return died | lacking

    def _lacking(self) -> set[Path]:
        """The versions that have fewer processes than they should. Raises OSError."""
        there = Counter(self.running.values())
        return {each for each, count in self.expected().items() if there[each] < count} - self.given_up

    def lacks(self, model: str) -> bool:
        """Whether a READY version of a model has fewer processes than it should, or that cannot be asked."""
        try:
            return model in {version.parent.name for version in self._lacking()}
        except OSError:
            return True

    def models(self) -> set[str]:
        """The models of which a process runs."""
        return {version.parent.name for version in self.running.values()}


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


def _version(process: int) -> Path | None:
    """What a stub was started on, MODEL/VERSION; None for another program."""
    words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    if Path(words[0].decode(errors="replace")).name.encode() != _PROGRAM or len(words) < 2:
        return None
    return Path(*Path(words[1].decode(errors="surrogateescape")).parts[-3:-1])
