"""Requests that wait their turn where they are counted: one that would wait too long is refused at once.

Triton's dynamic batcher lets them wait without end, or oversleeps its limit (docs/explanation/reliability.md).
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from statistics import median_low

from .clients import LATE, LEAST, MOST, Client, GoneError

_REST = 1.0  # seconds before what waits is counted again: each answer from the queue costs a message


@dataclass(eq=False)
class RequestQueue:
    """Has requests run at once or, when much comes, in a thread, so that what waits is seen."""

    run: Callable[[Sequence[Client]], None]  # gives each client its answer
    send: Callable[[Client], None]  # sends it to a client that waited
    limit: float  # seconds in which a client must have it, by what the items before it take
    items: int  # as many as Triton hands over at once when enough wait
    counts: dict[str, float]  # of who was refused, and who waited here and how long

    def __post_init__(self) -> None:
        self.counts.update(refused=0, waited=0, waited_seconds=0)
        self.seconds, self.late = 0.9 * self.limit, LATE.format(self.limit)  # the rest is for the ways there and back
        self.waiting: deque[Client] = deque()
        self.came = self.done = 0  # items that ever waited, and those of them that are answered
        self.costs = deque([1e-3], 5)  # seconds of an item in the last runs
        self.cost = 1e-3  # their median: a single run that the machine held up says nothing
        self.oldest = 0.0  # when the one came that has waited longest
        self.rest = 0.0  # until when requests are run at once
        self.thread = ThreadPoolExecutor(1)
        self.last = self.thread.submit(self.work)

    def __call__(self, clients: Sequence[Client]) -> None:
        """Have clients answered, now or later, or refuse them."""
        full = sum(client.items for client in clients) >= min(LEAST, self.items // 2 + 1)  # more may wait in Triton
        if not full and 0 < (self.came - self.done) * self.cost < self.seconds / 4:
            self.last.result()  # little waits: it may do so in Triton
        if self.came == self.done and (not full or time.monotonic() < self.rest):
            self.timed(clients)
        else:
            for client in clients:
                self.keep(client)
            self.last = self.thread.submit(self.work)

    def keep(self, client: Client) -> None:
        """Let a client wait, or refuse it; a quarter of the seconds is for the run in which its turn comes."""
        ahead = self.came - self.done
        if not ahead:
            self.oldest = client.asked
        if ahead >= LEAST and client.until > client.asked + self.seconds:
            client.late, client.until = self.late, client.asked + self.seconds
        # slow first runs make an item look dear: who waits already must have done so for a while too
        slow = ahead * self.cost > self.seconds * 0.75 and client.asked > self.oldest + self.seconds / 4
        if self.waiting and (ahead >= MOST or (slow and ahead >= LEAST)):
            client.left = GoneError(self.late, "UNAVAILABLE")
            self.counts["refused"] += 1
        else:
            client.request = client.sender = client.request.get_response_sender()
            client.trace = lambda: None  # it goes back with the request
            self.waiting.append(client)
            self.came += client.items

    def work(self) -> None:
        """Run what waits, some items at a time, until nothing does."""
        while self.waiting:
            most = min(self.items, max(LEAST, self.seconds / 4 / self.cost))  # the shorter a run, the less a wait
            taken, items = list[Client](), 0
            while self.waiting and (not taken or items + self.waiting[0].items <= most):
                taken.append(self.waiting.popleft())
                items += taken[-1].items
            self.oldest = taken[0].asked
            self.counts["waited"] += len(taken)
            self.counts["waited_seconds"] += sum(time.monotonic() - client.asked for client in taken)
            with suppress(BaseException):  # without an answer they are sent an error: nobody must wait for ever
                self.timed(taken)
            self.rest = time.monotonic() + _REST
            for client in taken:
                self.done += client.items  # before it can ask again, and would count twice
                self.send(client)

    def timed(self, clients: Sequence[Client]) -> None:
        """Run clients; what an item took that was run is learned."""
        began = time.monotonic()
        self.run(clients)
        if items := sum(client.items for client in clients if not client.left):
            self.costs.append((time.monotonic() - began) / items)
            self.cost = median_low(self.costs)
