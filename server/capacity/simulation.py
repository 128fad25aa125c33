"""A queue before one or more replicas, event by event: who waits how long where requests come at random.

No closed form tells the waiting of servers that take all that waits into one run whose time depends on what it holds;
where there is one (a request a run), tests hold the simulation against it.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass

import numpy as np

from tbgen.server.capacity.cost import RunCost

SPLITS = {"least": "fewest in flight", "random": "at random"}  # which replica gets a request
_SEED = 0
_UNSETTLED = 0.1  # of the requests: the first ones find empty queues


@dataclass(frozen=True)
class Replica:
    """One server of a model: instances, each of which runs what waits, at most `most` requests, when it is free.

    way: seconds of an answer outside of the runs. one_shape: whether a run ends before a request of another shape.
    """

    cost: RunCost
    instances: int = 1
    most: int = 1
    way: float = 0.0
    one_shape: bool = False


@dataclass(frozen=True)
class Texts:
    """What requests hold: the tokens of each, and its shape, which matters where a run holds one shape alone."""

    tokens: np.ndarray
    shapes: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """Latencies in seconds of the settled requests, as they came; the share of the time in which instances ran."""

    latencies: np.ndarray
    busy: float

    def quantile(self, share: float) -> float:
        """The latency that so large a share of the requests does not pass, in seconds."""
        return float(np.quantile(self.latencies, share))


def simulate(
    replica: Replica,
    texts: Texts,
    rate: float,
    *,
    requests: int,
    replicas: int = 1,
    split: str = "least",
    seed: int = _SEED,
) -> Outcome:
    """Requests that come at random, `rate` a second (a Poisson process), each a text drawn at random.

    split: a key of SPLITS. At random, each replica sees a Poisson process of its part of the rate: one is simulated.
    """
    generator = np.random.default_rng(seed)
    if split == "random":
        rate, replicas = rate / replicas, 1
    arrivals = generator.exponential(1 / rate, requests).cumsum()
    drawn = generator.integers(len(texts.tokens), size=requests)
    fleet = _Fleet(replica, replicas, texts.tokens[drawn].tolist(), texts.shapes[drawn].tolist())
    latencies = fleet.latencies(arrivals.tolist())[int(requests * _UNSETTLED) :] + replica.way
    return Outcome(latencies, fleet.busy / (replicas * replica.instances) / max(arrivals[-1], fleet.now))


def capacity(replica: Replica, texts: Texts, requests: int = 20_000) -> float:
    """The requests a second that one replica answers where there always are some that wait."""
    drawn = np.random.default_rng(_SEED).integers(len(texts.tokens), size=requests)
    fleet = _Fleet(replica, 1, texts.tokens[drawn].tolist(), texts.shapes[drawn].tolist())
    fleet.latencies([0.0] * requests)
    return requests / fleet.now


class _Fleet:
    """Replicas in the middle of their work. Requests are numbers: positions in the lists of tokens and shapes."""

    def __init__(self, replica: Replica, replicas: int, tokens: list[float], shapes: list[int]) -> None:
        self.replica, self.tokens, self.shapes = replica, tokens, shapes
        self.waiting = [deque[int]() for _ in range(replicas)]
        self.idle = [replica.instances] * replicas
        self.running: list[tuple[float, int, list[int]]] = []  # end, replica, requests: a heap
        self.in_flight = [0] * replicas
        self.turn = itertools.count()
        self.fewest = [
            (0, next(self.turn), each) for each in range(replicas)
        ]  # a heap; what no longer holds is skipped
        self.ends = [0.0] * len(tokens)
        self.busy = self.now = 0.0

    def latencies(self, arrivals: list[float]) -> np.ndarray:
        """Seconds from the arrival of each request, in their order, to the end of its run."""
        for request, at in enumerate(arrivals):
            while self.running and self.running[0][0] <= at:
                self.end()
            self.now = at
            place = self.chosen()
            self.waiting[place].append(request)
            self.count(place, 1)
            self.begin(place)
        while self.running:
            self.end()
        return np.subtract(self.ends, arrivals)

    def chosen(self) -> int:
        """The replica with the fewest requests in flight; of several the one whose turn it is."""
        while self.fewest[0][0] != self.in_flight[self.fewest[0][2]]:
            heapq.heappop(self.fewest)
        return self.fewest[0][2]

    def count(self, place: int, more: int) -> None:
        """So many more requests are in flight at a replica."""
        self.in_flight[place] += more
        heapq.heappush(self.fewest, (self.in_flight[place], next(self.turn), place))

    def begin(self, place: int) -> None:
        """Let the free instances of a replica run what waits there."""
        while self.idle[place] and self.waiting[place]:
            self.idle[place] -= 1
            taken = self.taken(self.waiting[place])
            seconds = self.replica.cost.seconds(len(taken), sum(self.tokens[each] for each in taken))
            self.busy += seconds
            heapq.heappush(self.running, (self.now + seconds, place, taken))

    def taken(self, waiting: deque[int]) -> list[int]:
        """The requests of the next run."""
        taken = [waiting.popleft()]
        while waiting and len(taken) < self.replica.most:
            if self.replica.one_shape and self.shapes[waiting[0]] != self.shapes[taken[0]]:
                break
            taken.append(waiting.popleft())
        return taken

    def end(self) -> None:
        """The run that ends next is over."""
        self.now, place, taken = heapq.heappop(self.running)
        for request in taken:
            self.ends[request] = self.now
        self.count(place, -len(taken))
        self.idle[place] += 1
        self.begin(place)
