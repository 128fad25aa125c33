"""What `tbgen capacity` found, as plain values and the sentences that say what was assumed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tbgen.server.capacity.cost import TimedRun
from tbgen.server.capacity.measurement import Measured, ReplicaBench
from tbgen.server.capacity.sizing import Fleet, Goal, Sizing, Waiting

_CHECKS = (0.4, 0.75)  # of what a replica answers at most
_LENGTH = 8  # a check's time, over that of another point: a p99 needs many answers

LOADS = len(_CHECKS)


@dataclass(frozen=True)
class Size:
    """A replica's machine: cores that it may use, bytes of its processes; None: not known of a server elsewhere."""

    cores: int | None
    memory: float | None


@dataclass(frozen=True)
class Check:
    """An open loop on the replica that was measured, beside what the simulation says of its rate.

    unanswered: requests that were refused, or could not leave as too many were in flight.
    spread: the lowest and highest p99 of most loops of so few requests, as simulated.
    """

    rate: float
    answers: int
    unanswered: int
    measured: Waiting
    simulated: Waiting
    spread: tuple[float, float]


@dataclass(frozen=True)
class CapacityReport:
    """All of it.

    capacity: requests of one text a second that one replica answers at most. missing: what an interrupt
    left out.
    """

    goal: Goal
    measured: Measured
    size: Size
    capacity: float
    fleets: Sequence[Fleet]
    checks: Sequence[Check]
    missing: str = ""


@dataclass(frozen=True)
class PartialCapacity:
    """What was timed of a model before an interrupt: too little to reckon replicas from."""

    model: str
    unit: str
    runs: Sequence[TimedRun]
    missing: str = "interrupted: not all runs were timed, so no replicas were reckoned"


def checks_of(bench: ReplicaBench, sizing: Sizing) -> Iterator[Check]:
    """Ask the replica at random, at two rates. Raises UserError."""
    for share in _CHECKS:
        rate = share * sizing.capacity
        point = bench.arriving(rate, _LENGTH * bench.seconds)
        simulated = sizing.waiting(rate, 1)
        assert simulated
        p50, p99 = (point.latency.get(name, point.latency.get("max", 0.0)) / 1000 for name in ("p50", "p99"))
        measured = Waiting(p50, p99, bench.part(point).busy_share)
        yield Check(
            rate, point.answers, sum(point.failed.values()), measured, simulated, sizing.spread(rate, point.answers)
        )


def cost_of_million(fleet: Fleet, rate: float, price: float) -> float:
    """What a million texts cost at a rate, by the price of a replica and hour."""
    return fleet.replicas * price / (rate * 3600) * 1e6


def json_from_capacity(report: CapacityReport | PartialCapacity, price: float | None) -> dict[str, Any]:
    """All values; times in seconds, memory in bytes."""
    if isinstance(report, PartialCapacity):
        return asdict(report)
    measured, cost = report.measured, report.measured.replica.cost
    return {
        "goal": asdict(report.goal),
        "model": measured.model,
        "replica": {
            "capacity": report.capacity,
            **asdict(report.size),
            "gpu": measured.gpu and asdict(measured.gpu),
            "cpu_under_load": asdict(measured.cpu),
            "runner": measured.runner,
            **asdict(measured.replica),
        },
        "texts": {"unit": measured.unit, "count": len(measured.texts.tokens), "mean": measured.texts.tokens.mean()},
        "runs": [{**asdict(run), "error": cost.error(run)} for run in measured.runs],
        "fleets": [
            {**asdict(fleet), "cost_of_million": price and cost_of_million(fleet, report.goal.rate, price)}
            for fleet in report.fleets
        ],
        "checks": [asdict(check) for check in report.checks],
        "assumptions": list(assumptions(report.measured, here=report.size.cores is not None)),
        "missing": report.missing,
    }


def assumptions(measured: Measured, *, here: bool = True) -> Iterator[str]:
    """What the figures stand on; `here`: the server was on this machine."""
    replica, cost, unit = measured.replica, measured.replica.cost, measured.unit
    errors = [abs(cost.error(run)) for run in measured.runs]
    yield (
        f"a run of {measured.runner} takes {cost.run * 1000:.2f} ms, {cost.request * 1000:.3f} ms for each request and"
        f" {cost.token * 1000:.4f} ms for each of its {unit}: fitted to {len(errors)} points, off by"
        f" {statistics.median(errors):.0%} (median) and {max(errors):.0%} (most)"
    )
    who = "it" if replica.instances == 1 else f"each of its {replica.instances} instances"
    joins = (
        f"all requests that wait, at most {replica.most} (no more were seen together, or are taken),"
        if replica.most > 1
        else "one request"
    )
    yield (
        f"when it is free, {who} takes {joins}{' of one padded length,' * replica.one_shape} in the order in which they"
        f" came; an answer takes {replica.way * 1000:.2f} ms beside its run"
    )
    yield (
        f"requests of one text, {measured.texts.tokens.mean():.1f} {unit} on average, come at random times; a burst"
        " beyond that, a slow client and the network between are not in it"
    )
    if measured.delay:
        yield f"its dynamic batcher waits up to {measured.delay} us for more requests, which is not simulated"
    if here and measured.cpu.share > 0.05:
        yield (
            f"the load took {measured.cpu.generator:.1f} of {measured.cpu.cores} cores from the replica: with clients"
            " elsewhere it answers more"
        )
    yield "a gRPC client keeps to one connection: let a proxy deal out its requests, not its connections"
