"""What one run of a model takes, by the requests and the tokens in it: fitted to runs that were timed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TimedRun:
    """Runs of one kind: how many requests and tokens one holds, and the seconds that one takes; averages all."""

    requests: float
    tokens: float
    seconds: float


@dataclass(frozen=True)
class RunCost:
    """Seconds of a run: of its own, and for each request and each token in it."""

    run: float
    request: float
    token: float

    def seconds(self, requests: float, tokens: float) -> float:
        """The time of a run that holds so much."""
        return self.run + self.request * requests + self.token * tokens

    def error(self, timed: TimedRun) -> float:
        """By how much of its time a run is taken for longer (positive) or shorter than it was."""
        return self.seconds(timed.requests, timed.tokens) / timed.seconds - 1


def fitted_cost(runs: Sequence[TimedRun]) -> RunCost:
    """The costs, none below zero, of the least relative errors (least squares) over the runs; at least one of them."""
    seconds = np.array([run.seconds for run in runs])
    columns = np.array([[1.0, run.requests, run.tokens] for run in runs]) / seconds[:, np.newaxis]
    fits = []
    for kept in itertools.chain.from_iterable(itertools.combinations(range(3), count) for count in (1, 2, 3)):
        found = np.zeros(3)
        found[list(kept)] = np.linalg.lstsq(columns[:, kept], np.ones(len(runs)), rcond=None)[0]
        if found.min() >= 0:
            fits.append((float(np.square(columns @ found - 1).sum()), *map(float, found)))
    _, run, request, token = min(fits)
    return RunCost(run, request, token)
