"""What a model counts, as counters on Triton's metrics port."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any


class Meter:
    """The steps' seconds, and what they count themselves (`counts`: name -> so far), as counters on the metrics port.

    A counter costs a message to the server, so they are written at most ten times a second.
    """

    PAUSE = 0.1  # seconds

    def __init__(self, model: str, steps: Sequence[Any], family: Any) -> None:
        self.steps = steps
        self.seconds = [0.0] * len(steps)
        self.written: dict[Any, float] = defaultdict(float)
        self.next = 0.0
        times = family("tbgen_step_seconds", "time in each step of a model, summed over executions", family.COUNTER)
        counts = family("tbgen_step_count", "what steps count", family.COUNTER)
        self.families = times, counts
        names = [type(step).__name__ for step in steps]
        self.times = [
            times.Metric(labels={"model": model, "step": name, "number": str(number)})
            for number, name in enumerate(names)
        ]
        self.counts = [
            (step, key, counts.Metric(labels={"model": model, "step": name, "count": key}))
            for step, name in zip(steps, names, strict=True)
            for key in getattr(step, "counts", ())
        ]

    def write(self) -> None:
        """Bring the counters up to date, if it is time."""
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + self.PAUSE
        for metric, value in zip(self.times, self.seconds, strict=True):
            self.advance(metric, value)
        for step, key, metric in self.counts:
            self.advance(metric, step.counts[key])

    def advance(self, metric: Any, value: float) -> None:
        if value > self.written[metric]:
            metric.increment(value - self.written[metric])
            self.written[metric] = value
