"""What models that tbgen wrote tell on Triton's metrics port: seconds in each step, tokens with and without padding."""

from __future__ import annotations

import math
import re
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException

from tbgen.export.errors import UserError
from tbgen.generator.addresses import METRICS

_LINE = re.compile(r"tbgen_step_(seconds|count)\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SECONDS = 5.0  # to wait for the page


@dataclass(frozen=True)
class StepMetrics:
    """Counters so far, or what was added to them.

    seconds: (model, number of the step) -> time; counts: (model, name) -> count, such as "padded_tokens".
    """

    seconds: dict[tuple[str, int], float] = field(default_factory=dict)
    counts: dict[tuple[str, str], float] = field(default_factory=dict)

    def __sub__(self, other: StepMetrics) -> StepMetrics:
        return StepMetrics(
            {key: value - other.seconds.get(key, 0.0) for key, value in self.seconds.items()},
            {key: value - other.counts.get(key, 0.0) for key, value in self.counts.items()},
        )

    def steps(self, model: str) -> list[float]:
        """The seconds of a model's steps, in their order; empty when it tells nothing."""
        return [seconds for (name, _), seconds in sorted(self.seconds.items()) if name == model]


def metrics_page(url: str) -> str:
    """The text of a metrics page. Raises OSError, ValueError."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            return str(answer.read().decode("utf-8"))
    except HTTPException as error:  # what answers speaks no HTTP, or ends in its middle
        raise ValueError(f"{type(error).__name__}: {error}") from error


def step_metrics(url: str | None) -> StepMetrics:
    """The counters now; none without an address. Raises UserError."""
    if not url:
        return StepMetrics()
    try:
        return metrics_from_text(metrics_page(url))
    except (OSError, ValueError) as error:
        raise UserError(f"no metrics at {url}: {error}; Triton's default is http://HOST:{METRICS}/metrics") from error


def metrics_from_text(text: str) -> StepMetrics:
    """What a page tells. Raises ValueError for lines of tbgen's that lack a label, or a number."""
    rows = [(kind, dict(_LABEL.findall(labels)), float(value)) for kind, labels, value in _LINE.findall(text)]
    if not all(math.isfinite(value) for *_, value in rows):
        raise ValueError("a counter is no number")
    try:
        return StepMetrics(
            {(named["model"], int(named["number"])): value for kind, named, value in rows if kind == "seconds"},
            {(named["model"], named["count"]): value for kind, named, value in rows if kind == "count"},
        )
    except KeyError as error:
        raise ValueError(f"a counter has no label {error}") from error
