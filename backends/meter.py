"""What a model counts, as counters on Triton's metrics port."""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Meter:
    """The seconds of a model's steps, and what they and the model count: `counts`, NAME or NAME=KIND -> so far.

    A counter costs a message to the server, so a thread writes them, at most ten times a second.
    """

    PAUSE = 0.1  # seconds

    def __init__(self, model: str, steps: Sequence[Any], family: Any) -> None:
        self.model, self.seconds = model, [0.0] * len(steps)
        self.counts: dict[str, float] = defaultdict(float)
        self.parts = [(type(step).__name__, getattr(step, "counts", {})) for step in steps] + [("model", self.counts)]
        times = "time in each step of a model, summed over executions"
        self.times = family("tbgen_step_seconds", times, family.COUNTER)
        self.counters = family("tbgen_step_count", "what steps count", family.COUNTER)
        self.written: dict[tuple[str, ...], tuple[Any, float]] = {}  # a counter's labels -> it, and its value
        self.thread, self.changed = ThreadPoolExecutor(1), False
        self.write()

    def change(self) -> None:
        """Have the counters written, soon."""
        if not self.changed:
            self.changed = True
            self.thread.submit(self.write)
            self.thread.submit(time.sleep, self.PAUSE)

    def write(self) -> None:
        """Bring the counters up to date; one is there from its first value on, 0 too."""
        self.changed = False
        for number, (step, counts) in enumerate(self.parts):
            own = {"model": self.model, "step": step, "number": str(number)}
            values = [(self.times, own, seconds) for seconds in self.seconds[number : number + 1]]
            for key, value in [*counts.items()]:
                name, _, kind = key.partition("=")
                values.append((self.counters, own | {"count": name, "kind": kind}, value))
            for family, labels, value in values:
                key = tuple(labels.values())
                metric, before = self.written.get(key) or (family.Metric(labels=labels), 0.0)
                if value > before:
                    metric.increment(value - before)
                self.written[key] = metric, value


def labels_counted(labels: Sequence[str]) -> list[str]:
    """What each class is counted as: its label, or, of more than 100, the numbers of those that it is counted with."""
    size = -(-len(labels) // 100)
    starts = [number - number % size for number in range(len(labels))]
    return [f"labels={f'{start}-{start + size - 1}' if size > 1 else labels[start]}" for start in starts]
