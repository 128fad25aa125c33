"""The limit under overload of an ensemble: what goes to its engine is numbered, and looked for behind it.

The numbers pass the engine from `Entry`, in the tokenizer model, to `Exit`, in the postprocess model. Whatever fails
between them is overtaken by later numbers, so that nothing is counted for ever (docs/explanation/reliability.md).
"""

import fcntl
import mmap
import os
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .clients import LATE, LEAST, MOST, Client, GoneError

# Items that entered; that came out; nanoseconds of one; of how many these were taken; when one came out last.
_SENT, _SEEN, _COST, _KNOWN, _NEWS = range(5)
# An item's number, those not yet seen then, itself too, and nanoseconds: when.
_TURN = {"tbgen_turn": ("TYPE_INT64", [3])}
_PROCESS, _MEMORY = Path("/proc/self"), Path("/dev/shm")
_STUB = re.compile(rb"_stub\0[^\0]+\0([^\0]+)[0-9a-f-]{36}\0")  # a model's process: the prefix of its shared memory
_WINDOW = 1_000_000_000  # nanoseconds over which an item's are taken


@dataclass(eq=False)
class _Page:
    """Five numbers that the processes of an ensemble's models share; outside Triton nothing, and there is no limit."""

    folder: Path  # the version folder
    _: KW_ONLY
    name: str  # given to scaffold: one for all ensembles of a tokenizer

    def __post_init__(self) -> None:
        self.values: Any = None

    def load(self, _: int) -> None:
        """Open the page: in /dev/shm, named by the server's process, and as its shared memory."""
        words = _PROCESS / "cmdline"
        if found := _STUB.search(words.read_bytes()) if words.exists() else None:
            try:
                space = (_PROCESS / "ns/pid").stat().st_ino  # in each container the server may be process 1
                path = _MEMORY / f"{found[1].decode()}{space}-{os.getppid()}-{self.name}"
                self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                os.posix_fallocate(self.file, 0, 40)  # a write where there is no room would end the process
                self.values = memoryview(mmap.mmap(self.file, 40)).cast("q")
            except OSError as error:  # another user's of the same name, no room: better no limit than no model
                print(f"{self.name}: no limit under overload: {error}", file=sys.stderr)  # into the server's log


@dataclass(eq=False)
class Entry(_Page):
    """Numbers the items of an ensemble's requests, and refuses those that would wait too long."""

    limit: float  # seconds in which a client must have its answer, by what the items before it take

    takes_clients = True
    inputs = dict[str, Any]()
    outputs = _TURN

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent = deque[tuple[int, int]](maxlen=MOST)  # last numbers of requests that are not seen yet, and when
        self.counts = Counter(refused=0)

    def __call__(self, *, clients: Sequence[Client] = ()) -> dict[str, np.ndarray]:
        """Gives tbgen_turn: (batch, 3), zero for who asks the tokenizer alone, which is neither counted nor refused."""
        turns = np.zeros((len(clients), 3), np.int64)
        if self.values is not None:
            fcntl.lockf(self.file, fcntl.LOCK_EX)  # against other instances
            try:
                row = 0
                while row < len(clients):
                    client = clients[row]
                    if "tbgen_turn" in client.wanted:
                        turns[row : row + client.items] = self.turn(client)
                    row += client.items
            finally:
                fcntl.lockf(self.file, fcntl.LOCK_UN)
        return {"tbgen_turn": turns}

    def turn(self, client: Client) -> tuple[int, int, int]:
        """A client's turn; none where it is refused."""
        now, values = time.monotonic_ns(), self.values
        if self.refuses(now):
            self.counts["refused"] += 1
            client.left = GoneError(LATE.format(self.limit), "UNAVAILABLE")
            return 0, 0, 0
        values[_SENT] += client.items
        self.sent.append((values[_SENT], now))
        return values[_SENT], values[_SENT] - values[_SEEN], now

    def refuses(self, now: int) -> bool:
        """Whether one more would wait too long. What was let in cannot be taken back: it is half of the limit."""
        seen, cost, limit = self.values[_SEEN], self.values[_COST], self.limit * 1e9
        while self.sent and self.sent[0][0] <= seen:
            self.sent.popleft()
        ahead = self.values[_SENT] - seen
        if ahead < LEAST or not self.sent:
            return False
        waited = limit / (5 if self.values[_KNOWN] >= LEAST else 2)  # alone, or in first runs, an item looks dear
        slow = ahead * cost > limit / 2 and now > self.sent[0][1] + waited
        # without news for long nothing is known: what went in has failed, or has never gone to the engine
        return (ahead >= MOST or slow) and now < self.values[_NEWS] + max(limit, 4 * LEAST * cost)


@dataclass(eq=False)
class Exit(_Page):
    """Tells `Entry` how far the engine is, and what an item takes."""

    takes_clients = True
    inputs = _TURN
    optional = ("tbgen_turn",)  # who asks this model alone has none
    outputs = dict[str, Any]()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seen = deque([(0, 0)])  # numbers and when, back to a second and 32 items ago

    def __call__(self, *, clients: Sequence[Client] = (), **_: np.ndarray) -> dict[str, np.ndarray]:
        """Reads the last request's turn, where there is a server."""
        inputs = clients[-1].request.inputs() if clients and self.values is not None else ()
        for turn in (tensor.as_numpy() for tensor in inputs if tensor.name() == "tbgen_turn"):
            number, ahead, sent = turn[-1].tolist()
            self.tell(number, ahead, sent, time.monotonic_ns())
        return {}

    def tell(self, number: int, ahead: int, sent: int, now: int) -> None:
        """Write down what an item took: since long enough ago, or since this one was sent, if all others came since."""
        if not (self.values[_SEEN] < number <= self.values[_SENT] and 0 < ahead <= number and 0 < sent <= now):
            return  # overtaken, or none of Entry's
        while len(self.seen) > 1 and self.seen[1][1] <= now - _WINDOW and self.seen[1][0] <= number - LEAST:
            self.seen.popleft()
        before, then = max(self.seen[0], (number - ahead, sent), key=lambda each: each[1])
        self.values[_KNOWN] = items = max(1, number - before)
        self.values[_COST] = (now - then) // items
        self.values[_NEWS], self.values[_SEEN] = now, number
        self.seen.append((number, now))
