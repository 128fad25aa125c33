"""What a load worker is told to do, and what it saw: plain records that travel between processes."""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tbgen.export.run import Tensors

_SENTENCES = 8  # different sentences that are kept of what went wrong
OTHERS = "others"
TICK = 0.25  # seconds between two reports of a worker


@dataclass(frozen=True)
class Order:
    """One worker's part of a load.

    schedule: intended send times in seconds from the start (open loop), or None: each client sends when it is answered.
    clients: connections, or with gRPC requests that may be in flight at once.
    first: index of the request that is sent first, so that workers do not all send the same.
    headers: of gRPC calls; HTTP requests hold theirs.
    """

    protocol: str
    url: str
    tls: bool
    requests: Sequence[bytes]
    expected: Sequence[Tensors]
    tolerance: float
    clients: int
    seconds: float
    warmup: float
    timeout: float
    first: int = 0
    schedule: Sequence[float] | None = None
    headers: Sequence[tuple[str, str]] = ()

    @property
    def end(self) -> float:
        """Seconds from the start until no request is sent any more."""
        return self.warmup + self.seconds

    def indexes(self) -> Iterator[int]:
        """The requests in the order in which they are sent, over and over."""
        return itertools.cycle([*range(self.first, len(self.requests)), *range(self.first)])


@dataclass
class Tally:
    """What one worker saw. Times in seconds from the start of the load.

    An answer that failed or changed has no entry in the four arrays.
    """

    intended: array[float] = field(default_factory=lambda: array("d"))
    sent: array[float] = field(default_factory=lambda: array("d"))
    answered: array[float] = field(default_factory=lambda: array("d"))
    index: array[int] = field(default_factory=lambda: array("l"))
    failed: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)

    def answer(self, index: int, intended: float, sent: float, answered: float) -> None:
        self.index.append(index)
        self.intended.append(intended)
        self.sent.append(sent)
        self.answered.append(answered)

    def fail(self, sentence: str, times: int = 1) -> None:
        """Count requests that were not answered."""
        _count(self.failed, sentence, times)

    def change(self, sentence: str) -> None:
        """Count an answer that is not the expected one."""
        _count(self.changed, sentence)

    @property
    def wrong(self) -> int:
        return sum(self.failed.values()) + sum(self.changed.values())


NOT_SENT = "not sent: all clients were waiting for answers"


def _count(counts: dict[str, int], sentence: str, times: int = 1) -> None:
    """Add to a count; beyond SENTENCES different sentences they are counted together."""
    key = sentence if sentence in counts or len(counts) < _SENTENCES else OTHERS
    counts[key] = counts.get(key, 0) + times


class Ticker:
    """A worker's clock: seconds since the start, and a report every TICK seconds."""

    def __init__(self, start: float, tally: Tally, report: Callable[[int, int], None]) -> None:
        self.start = start
        self.tally = tally
        self.report = report
        self.next_tick = 0.0

    def now(self) -> float:
        """Seconds since the start; negative before it."""
        return time.monotonic() - self.start

    def tick(self, now: float) -> bool:
        """Call often; whether a report was due."""
        if now < self.next_tick:
            return False
        self.next_tick = now + TICK
        self.report(len(self.tally.answered), self.tally.wrong)
        return True
