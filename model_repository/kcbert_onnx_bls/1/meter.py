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
        self.seconds = [0.0] * len(steps)
        self.next = 0.0
        self.written: dict[Any, float] = defaultdict(float)
        times = family("tbgen_step_seconds", "time in each step of a model, summed over executions", family.COUNTER)
        counts = family("tbgen_step_count", "what steps count", family.COUNTER)
        self.families = times, counts
        self.times, self.counts = [], []
        for number, step in enumerate(steps):
            labels = {"model": model, "step": type(step).__name__}
            self.times.append(times.Metric(labels=labels | {"number": str(number)}))
            for key in getattr(step, "counts", ()):
                self.counts.append((counts.Metric(labels=labels | {"count": key}), step, key))

    def write(self) -> None:
        """Bring the counters up to date, if it is time."""
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + self.PAUSE
        counted = [(metric, step.counts[key]) for metric, step, key in self.counts]
        for metric, value in [*zip(self.times, self.seconds, strict=True), *counted]:
            if value > self.written[metric]:
                metric.increment(value - self.written[metric])
                self.written[metric] = value
