"""How many replicas keep a goal, how much more they would take, and what is left when one is lost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tbgen.export.errors import UserError
from tbgen.server.capacity.simulation import SPLITS, Replica, Texts, capacity, simulate

_REQUESTS = 20_000  # of a simulation
_CLOSE = 0.01  # of a rate: how exactly the most is searched
_TRIES = 12  # of a search for it


@dataclass(frozen=True)
class Goal:
    """Requests of one text a second, and the seconds in which 99 of 100 are answered."""

    rate: float
    p99: float


@dataclass(frozen=True)
class Waiting:
    """Latencies in seconds, and the share of the time in which instances run."""

    p50: float
    p99: float
    busy: float


@dataclass(frozen=True)
class Fleet:
    """So many replicas: what is expected at the goal's rate, and there with one lost; None: more than they answer.

    split: a key of SPLITS. most: the rate up to which the goal's p99 is kept.
    """

    replicas: int
    split: str
    expected: Waiting
    one_lost: Waiting | None
    most: float


class Sizing:
    """Asks the simulation of one kind of replica and texts, each time with so many requests."""

    def __init__(self, replica: Replica, texts: Texts, requests: int = _REQUESTS) -> None:
        self.replica, self.texts, self.requests = replica, texts, requests
        self.capacity = capacity(replica, texts)

    def fleets(self, goal: Goal) -> list[Fleet]:
        """For each split the fewest replicas that keep the goal, and one more. Raises UserError where none do."""
        self.refuse_too_short(goal)
        alone = self.most(goal.p99, 1, "random", 0.0)
        if not alone:
            raise UserError(
                f"{goal.p99 * 1000:g} ms is so close to what one text alone takes that none may ever wait: raise --p99"
            )
        at_random = math.ceil(goal.rate / alone)  # each has a queue of its own
        fewest = {"least": self.fewest(goal, at_random), "random": at_random}
        found = []
        for split in SPLITS:
            for replicas in (fewest[split], fewest[split] + 1):
                expected, one_lost = (self.waiting(goal.rate, count, split) for count in (replicas, replicas - 1))
                assert expected
                most = replicas * alone if split == "random" else self.most(goal.p99, replicas, split, goal.rate)
                found.append(Fleet(replicas, split, expected, one_lost, most))
        return found

    def refuse_too_short(self, goal: Goal) -> None:
        """Raise UserError where no text would have to wait, and it still took too long."""
        cost, way = self.replica.cost, self.replica.way
        alone = float(np.quantile([cost.seconds(1, tokens) + way for tokens in self.texts.tokens], 0.99))
        if alone > goal.p99:
            raise UserError(
                f"no number of replicas answers 99 of 100 texts within {goal.p99 * 1000:g} ms: one alone takes"
                f" {alone * 1000:.1f} ms; raise --p99, or make a run faster (`tbgen tune`, INT8, a GPU, shorter texts)"
            )

    def fewest(self, goal: Goal, enough: int) -> int:
        """The fewest replicas that keep the goal where each request goes to the one with the fewest in flight."""
        few = math.ceil(goal.rate / self.capacity) - 1  # too few
        while enough - few > 1:
            middle = (few + enough) // 2
            few, enough = (few, middle) if self.keeps(goal, middle, "least") else (middle, enough)
        return enough

    def most(self, p99: float, replicas: int, split: str, low: float) -> float:
        """The rate up to which so many replicas keep a p99, which they do at the rate `low`."""
        high = replicas * self.capacity
        for _ in range(_TRIES):
            if high - low > _CLOSE * low:
                middle = (low + high) / 2
                low, high = (middle, high) if self.keeps(Goal(middle, p99), replicas, split) else (low, middle)
        return low

    def keeps(self, goal: Goal, replicas: int, split: str) -> bool:
        """Whether so many replicas keep the goal."""
        found = self.waiting(goal.rate, replicas, split)
        return found is not None and found.p99 <= goal.p99

    def waiting(self, rate: float, replicas: int, split: str = "least") -> Waiting | None:
        """What the simulation says; None where more is asked than so many replicas answer."""
        if rate >= replicas * self.capacity:
            return None
        found = simulate(self.replica, self.texts, rate, replicas=replicas, split=split, requests=self.requests)
        return Waiting(found.quantile(0.5), found.quantile(0.99), found.busy)

    def spread(self, rate: float, requests: int) -> tuple[float, float]:
        """Between which p99, in seconds, most open loops of so few requests end: 18 of 20 that are simulated."""
        found = [
            simulate(self.replica, self.texts, rate, requests=max(requests, 10), seed=seed).quantile(0.99)
            for seed in range(1, 21)
        ]
        return sorted(found)[1], sorted(found)[-2]
