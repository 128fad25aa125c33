"""Where a request's time goes: queue, tokenise, engine, post, transfers, and the way between client and server.

All figures are milliseconds, averages over the requests of the front model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tbgen.server.bench.metrics import StepMetrics
from tbgen.server.bench.parts import Front, Part
from tbgen.server.bench.statistics import ModelStatistics, Snapshot

TITLE = "Where the time of an average request goes"
NAMES = ("queue", "tokenise", "engine", "post", "steps", "transfers", "wire")
ABOUT = {
    "queue": "waiting in Triton for a free instance or for a batch",
    "tokenise": "the models before the engine",
    "engine": "the engine's own time",
    "post": "the models after the engine",
    "steps": "a BLS model's own work: joining and splitting requests; where its steps are not timed, these too",
    "transfers": "copies into and out of the models, and the ensemble's own work between them",
    "wire": "between client and Triton's clock: network, HTTP or gRPC, the load generator",
}


@dataclass(frozen=True)
class Split:
    """Stage name -> milliseconds; `estimated` when engine calls of a BLS overlap, so that their share is not exact."""

    stages: Mapping[str, float]
    estimated: bool = False


@dataclass(frozen=True)
class ModelLoad:
    """How one model was used: rows an execution and its milliseconds, share of its instances' time that it was busy."""

    model: str
    role: str
    requests: int
    executions: int
    rows: int
    average_batch: float
    instances: int
    busy: float | None
    failed: int
    cache_hits: int
    execution_ms: float

    @property
    def busy_share(self) -> float:
        """Between 0 and 1; executions that began before the window can make `busy` a little more."""
        return min(self.busy or 0.0, 1.0)


def split(front: Front, moved: Snapshot, client_ms: float, told: StepMetrics | None = None) -> Split | None:
    """The stages of a front model's requests; None when Triton counted none.

    client_ms: average time from sending to the answer, as the clients saw it.
    told: what the models tell of their steps; with it a BLS is divided exactly.
    """
    total = moved.get(front.part.model, ModelStatistics())
    if not total.requests:
        return None
    server_ms = total.request_ns / total.requests / 1e6
    seconds = (told or StepMetrics()).steps(front.part.model)
    if front.steps:
        found = _ensemble_split(front.steps, total, moved)
    elif sum(seconds) and front.part.engine_step is not None:
        found = _steps_split(front, total, moved, seconds)
    else:
        found = _model_split(front, total, moved)
    stages = {name: ms for name in NAMES if (ms := found.stages.get(name, 0.0)) > 0}
    return Split(stages | {"wire": max(0.0, client_ms - server_ms)}, found.estimated)


def _ensemble_split(steps: Sequence[Part], total: ModelStatistics, moved: Snapshot) -> Split:
    """Each part's waiting and computing; what Triton counts beyond the parts is the ensemble's own work."""
    sums = dict.fromkeys(NAMES, 0)
    inside = 0
    for step in steps:
        part = moved.get(step.model, ModelStatistics())
        sums["queue"] += part.queue_ns
        sums[step.role] += part.compute_infer_ns
        sums["transfers"] += part.compute_input_ns + part.compute_output_ns
        inside += part.request_ns
    sums["transfers"] += max(0, total.request_ns - total.cache_hit_ns - inside)
    return Split({name: ns / total.requests / 1e6 for name, ns in sums.items()})


def _model_split(front: Front, total: ModelStatistics, moved: Snapshot) -> Split:
    """One model, and inside its computing time the calls to its callees."""
    waited, computed, copied, estimated = _shares(front.part, total, _called_by(front, moved))
    ns = total.compute_infer_ns
    sums = {
        "queue": total.queue_ns + ns * waited,
        "engine": ns * computed,
        front.part.role: ns * (1 - waited - computed - copied),
        "transfers": total.compute_input_ns + total.compute_output_ns + ns * copied,
    }
    return Split({name: value / total.requests / 1e6 for name, value in sums.items()}, estimated)


def _steps_split(front: Front, total: ModelStatistics, moved: Snapshot, seconds: Sequence[float]) -> Split:
    """A BLS whose steps are timed: what comes before its engine call, the call, what comes after.

    The call's time is divided as its callees' times are; beyond them it is the way there and back.
    """
    number = front.part.engine_step or 0
    calls = _called_by(front, moved)
    waited, whole = calls.queue_ns, max(seconds[number] * 1e9, calls.request_ns, 1.0)
    # Without a call the engine runs in the model's own process.
    computed = calls.compute_infer_ns if front.callees else whole
    scale = total.compute_infer_ns / max(total.batch_infer_ns, sum(seconds) * 1e9)
    called = seconds[number] * 1e9 * scale
    before, after = sum(seconds[:number]) * 1e9 * scale, sum(seconds[number + 1 :]) * 1e9 * scale
    sums = {
        "queue": total.queue_ns + called * waited / whole,
        "tokenise": before,
        "engine": called * computed / whole,
        "post": after,
        "transfers": total.compute_input_ns + total.compute_output_ns + called * (whole - waited - computed) / whole,
        "steps": max(0.0, total.compute_infer_ns - before - called - after),
    }
    return Split({name: value / total.requests / 1e6 for name, value in sums.items()})


def _called_by(front: Front, moved: Snapshot) -> ModelStatistics:
    """What the callees of a BLS did, together."""
    return sum((moved.get(callee.model, ModelStatistics()) for callee in front.callees or ()), ModelStatistics())


def _shares(part: Part, total: ModelStatistics, calls: ModelStatistics) -> tuple[float, float, float, bool]:
    """Of a BLS's computing time, what passes in its callees' queues, in their computing and in copies to and from them.

    An execution that has several calls in flight at once passes less time in them than they sum up to; the sums are
    divided by that number, which is an estimate. The fourth value says whether they were.
    """
    if not calls.requests or not total.executions or not total.batch_infer_ns:
        return 0.0, 0.0, 0.0, False
    overlap = max(1.0, min(part.parallel_calls, calls.requests / total.executions))
    copied = calls.compute_input_ns + calls.compute_output_ns
    whole = max(total.batch_infer_ns * overlap, calls.queue_ns + calls.compute_infer_ns + copied)
    return calls.queue_ns / whole, calls.compute_infer_ns / whole, copied / whole, overlap > 1.05


def model_loads(front: Front, moved: Snapshot, seconds: float) -> list[ModelLoad]:
    """How each model behind the front, and the front, was used in `seconds`."""
    counted = [(part, moved.get(part.model, ModelStatistics())) for part in front.parts]
    return [
        ModelLoad(
            **{name: getattr(part, name) for name in ("model", "role", "instances")},
            **{name: getattr(found, name) for name in ("requests", "executions", "rows", "failed", "cache_hits")},
            average_batch=found.rows / found.executions if found.executions else 0.0,
            busy=found.batch_ns / 1e9 / seconds / part.instances if part.instances else None,
            execution_ms=found.batch_ns / 1e6 / found.executions if found.executions else 0.0,
        )
        for part, found in counted
    ]
