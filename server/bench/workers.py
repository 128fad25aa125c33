"""Worker processes: started, set off at one moment, watched, and their tallies gathered."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from tbgen.export.errors import UserError
from tbgen.server.bench.machine import process_seconds
from tbgen.server.bench.tally import Order, Tally

_LEAD = 0.05  # seconds between the order to start and the start


class Workers:
    """A group of load processes, ready to be set off. Ended with the block, whatever happens.

    Raises UserError when one cannot connect.
    """

    def __init__(self, orders: Sequence[Order]) -> None:
        self.started = [_start(order) for order in orders]
        self.progress = {pipe: (0, 0) for _, pipe in self.started}
        self.tallies: dict[Connection, Tally] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for process, pipe in self.started:
            process.kill()
            process.wait()
            pipe.close()

    def begin(self) -> float:
        """Wait until all are ready, set them off; the start on the monotonic clock. Raises UserError."""
        for _, pipe in self.started:
            kind, value = _received(pipe)
            if kind != "ready":
                raise UserError(str(value))
        start = time.monotonic() + _LEAD
        for _, pipe in self.started:
            pipe.send(start)
        return start

    def watch(self, until: float) -> bool:
        """Take what the workers report until a time on the monotonic clock; whether any is still at work."""
        while (left := until - time.monotonic()) > 0:
            working = [pipe for _, pipe in self.started if pipe not in self.tallies]
            if not working:
                return False
            for pipe in wait(working, left):
                kind, value = _received(pipe)  # type: ignore[arg-type]
                if kind == "done":
                    self.tallies[pipe] = value  # type: ignore[index]
                else:
                    self.progress[pipe] = value  # type: ignore[index]
        return True

    def counts(self) -> tuple[int, int]:
        answered, wrong = zip(*self.progress.values(), strict=True)
        return sum(answered), sum(wrong)

    def cpu_seconds(self) -> list[float]:
        return [process_seconds(process.pid) for process, _ in self.started]


def _start(order: Order) -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tbgen.server.bench.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of a Ctrl-C at the terminal; ended by Workers
        )
    with contextlib.suppress(BrokenPipeError):
        ours.send(order)
    return process, ours


def _received(pipe: Connection) -> tuple[str, Any]:
    """The next message of a worker. Raises UserError when it died."""
    try:
        message: tuple[str, Any] = pipe.recv()
    except (EOFError, ConnectionResetError):
        raise UserError("a load process ended before its time; its own words are above") from None
    return message
