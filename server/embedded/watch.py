"""Watches a server: a model whose process died is loaded again, a server that died is started again."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.server.embedded.control import reload
from tbgen.server.embedded.log import load_failures, loads_under_way
from tbgen.server.embedded.server import EmbeddedServer

_SHORT = 10.0  # seconds: a server that lives no longer has a fault of its own,
_TRIES = 3  # when that happens so many times in a row
_TICK = 0.2  # seconds between two looks while a model is loaded
_LATE = 5.0  # seconds that a load may take to end behind the end of its process
_STUCK = 60.0  # seconds in which a server that polls begins to load what changed: it looks every 15 by default
_WAITS = "its process ended while it was loaded, and Triton waits on"


@dataclass
class _Away:
    """A model that is loaded again."""

    died: float  # when its process did
    line: int  # of the log at that time
    left: set[int]  # the processes of the model that ran on
    idle: float = field(default_factory=time.monotonic)  # since when none has come


class ServerWatch:
    """Looks at a server that has started; what it finds and does stands in the server's log."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.started = time.monotonic()
        self.short_lives = 0
        self.away: dict[str, _Away] = {}
        self.died: set[Path] = set()  # versions of which a process died while another was loaded
        self.loads = ThreadPoolExecutor()

    def look(self) -> bool:
        """Look once, and bring back what is gone; whether the server was started again.

        Raises UserError with its log's reason for a server that does not stay.
        """
        if not self.server.running():
            return self._start_again_after_its_end()
        if self.server.stubs is None:
            return False
        died = self.died | self.server.stubs.look()
        self.died.clear()
        models = {version.parent.name: version for version in died}
        for model in models:
            self._gone(model, "died: it is loaded again")
        for model in self._loads_that_died() - models.keys():
            self._gone(model, "died while it was loaded")
        try:  # a server that polls loads what was touched, version by version
            told = [self._load_again(version) for version in (died if self.server.polls else models.values())]
        except ConnectionError:  # the server itself ends, and the processes of its models did before
            ended = self.server.process and self.server.process.wait(_LATE)
            return self._start_again_after_its_end() if ended else self._start_again()
        if not all(told):
            return self._start_again()
        self._say_what_is_back()
        return self.server.polls and self._stuck() and self._start_again()

    def _gone(self, model: str, what: str) -> None:
        """Remember that a process of a model is gone, and say so."""
        self.server.note(f"a process of {model} {what}")
        self.away[model] = _Away(time.monotonic(), len(self.server.log_lines()), self._processes(model))

    def _processes(self, model: str) -> set[int]:
        running = self.server.stubs.running if self.server.stubs else {}
        return {process for process, version in running.items() if version.parent.name == model}

    def _loads_that_died(self) -> set[str]:
        """The models that a polling server loads, when a process died of which nobody knows whose it was."""
        if not (self.server.polls and self.server.stubs and self.server.stubs.unknown):
            return set()
        return loads_under_way(self.server.log_lines()) - self.away.keys()

    def _load_again(self, version: Path) -> bool:
        """Whether the server could be told to load a model again. Raises ConnectionError where it does not answer."""
        try:
            if self._ends(load := self.loads.submit(reload, self.server, version), version):
                load.result()
                return True
            why = f"{version.parent.name} does not come back: {_WAITS}"
        except UserError as error:
            why = error.message
        except ConnectionError:
            raise
        except OSError as error:  # where a server polls, the folder of another user, or on a disk that is read-only
            self.server.note(f"{version.parent.name} cannot be loaded alone: {error.strerror or error}")
            return False
        self.server.note(why)
        if self.server.stubs:  # what dies in a load that fails is not loaded again for ever
            self.server.stubs.given_up.add(version)
        self.died.discard(version)
        return True

    def _ends(self, load: Future[None], version: Path) -> bool:
        """Wait for a load; False where its process died in it: Triton 2.51 never ends such a load."""
        while not wait([load], _TICK).done:
            died = self.server.stubs.look() if self.server.stubs else set()
            self.died |= died
            if version in died and not wait([load], _LATE).done:
                return False
        return True

    def _say_what_is_back(self) -> None:
        """Say which models are loaded again, and which fail to."""
        lines = self.server.log_lines() if self.away else []
        for model, away in [*self.away.items()]:
            since = lines[away.line :]
            failed = load_failures(since).get(model)
            if failed:
                self.server.note(f"{model} does not come back: {failed}")
            elif any(f"successfully loaded '{model}'" in each for each in since):
                self.server.note(f"{model} is back after {time.monotonic() - away.died:.1f} s")
            else:
                continue
            del self.away[model]

    def _stuck(self) -> bool:
        """Whether a server that polls loads nothing any more: its load waits for ever where its process died in it."""
        for model, away in [*self.away.items()]:
            if self._processes(model) - away.left:  # it is loaded, however long that takes
                away.idle = time.monotonic()
            elif time.monotonic() - away.idle > _STUCK:
                if self.server.stubs and not self.server.stubs.lacks(model):  # a restart would end what is served
                    del self.away[model]
                    self.server.note(
                        f"{model} is not loaded: {_WAITS}, and loads nothing else that changes; what is served stays; "
                        "mend the model, and start the server again"
                    )
                    continue
                self.server.note(f"{model} is not loaded again: Triton waits on a process that ended")
                return True
        return False

    def _start_again_after_its_end(self) -> bool:
        why = f"Triton ended by itself: {self.server.explanation()}"
        self.short_lives = self.short_lives + 1 if time.monotonic() - self.started < _SHORT else 0
        if self.short_lives >= _TRIES:
            raise UserError(why)
        self.server.note(why)
        return self._start_again()

    def _start_again(self) -> bool:
        """Start the server again on the same ports. Raises UserError."""
        began = time.monotonic()
        self.server.note("Triton is started again")
        self.server.stop()
        failures = list[str]()  # said later: a log in the server's folder is gone until it starts
        while True:
            try:
                self.server.start(keep_log=True)
                break
            except UserError as error:  # Triton may abort while it loads many models, rarely
                self.short_lives += 1
                if self.short_lives >= _TRIES:
                    raise
                failures.append(error.message)
        for failure in failures:
            self.server.note(f"Triton did not start: {failure}; it was tried again")
        self.away.clear()
        self.died.clear()
        self.started = time.monotonic()
        self.server.note(f"Triton is back after {self.started - began:.1f} s")
        return True
