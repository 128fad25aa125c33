"""One measured point: a load on a model for some seconds, and what clients, Triton and the machine say of it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tbgen.export.errors import UserError
from tbgen.export.run import Tensors
from tbgen.server.bench.gpu import Gpus, GpuUse
from tbgen.server.bench.machine import CpuUse, cores, cpu_times, process_seconds
from tbgen.server.bench.metrics import StepMetrics, step_metrics
from tbgen.server.bench.padding import Lengths
from tbgen.server.bench.parts import Front, callees_from_statistics
from tbgen.server.bench.stages import ModelLoad, Split, model_loads, split
from tbgen.server.bench.statistics import Snapshot, snapshot, snapshot_difference
from tbgen.server.bench.tally import OTHERS, Order, Tally
from tbgen.server.bench.workers import Workers
from tbgen.server.client.address import Address
from tbgen.server.client.connection import Connection

_LOOK = 0.1  # seconds between two looks at the progress
_OPEN_CLIENTS = 256  # most requests in flight in an open loop
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}

OnCounts = Callable[[float, int, int], None]  # share of the point that is done, requests answered, gone wrong


@dataclass(frozen=True)
class Load:
    """A closed loop (`rate` is None): clients that each wait for their answer; or an open one: arrivals a second.

    poisson: arrivals of an open loop come at random, not evenly.
    """

    protocol: str
    clients: int
    rate: float | None = None
    poisson: bool = False

    @property
    def label(self) -> str:
        """Such as "16 clients" or "50/s"."""
        return f"{self.clients} client{'s' * (self.clients != 1)}" if self.rate is None else f"{self.rate:g}/s"


@dataclass(frozen=True)
class Timing:
    """Seconds of a point: measured, warm-up before it, longest wait for an answer."""

    seconds: float = 10.0
    warmup: float = 2.0
    timeout: float = 60.0


@dataclass(frozen=True)
class Target:
    """A model to load: where it is, ready-made requests, the expected answers.

    metrics: address of the server's metrics page, if it is at hand.
    """

    model: str
    address: Address
    front: Front
    batch: int
    requests: Sequence[bytes]
    expected: Sequence[Tensors]
    tolerance: float
    lengths: Lengths | None
    metrics: str | None = None


@dataclass(frozen=True)
class Padding:
    """Padded tokens / real tokens - 1; when not `exact`, the least that it can be."""

    waste: float
    exact: bool


@dataclass(frozen=True)
class Point:
    """What was measured. Latencies in milliseconds, of right answers only; in an open loop from the intended send time.

    late: how long after its intended time a request left (open loop), in milliseconds.
    failed, changed: sentence -> requests, over the whole point, warm-up included.
    foreign: requests that Triton counted and this generator did not send.
    rounds: texts a second of each round, when there were several.
    """

    model: str
    load: Load
    seconds: float
    answers: int
    texts_per_s: float
    latency: Mapping[str, float]
    late: Mapping[str, float]
    failed: Mapping[str, int]
    changed: Mapping[str, int]
    split: Split | None
    models: Sequence[ModelLoad]
    padding: Padding | None
    cpu: CpuUse
    foreign: int = 0
    rounds: Sequence[float] = field(default=())
    gpu: GpuUse | None = None


@dataclass(frozen=True)
class LoadOutcome:
    """What a load left behind: tallies, what moved in Triton's statistics, CPU and GPU use, of the measured window."""

    tallies: Sequence[Tally]
    moved: Snapshot
    told: StepMetrics
    cpu: CpuUse
    gpu: GpuUse | None
    seconds: float


def refuse_https(address: Address) -> None:
    """Raise UserError for an address that cannot be loaded."""
    if address.protocol == "http" and address.tls:
        raise UserError("the load generator speaks HTTP without TLS; use grpcs://HOST:PORT, or plain http:// behind it")


def measure(
    connection: Connection, target: Target, load: Load, timing: Timing, workers: int, on_progress: OnCounts
) -> Point:
    """Load the target and say what came of it. Raises UserError."""
    orders = _orders_from_load(target, load, timing, workers)
    with Workers(orders) as group:
        seen = _run(connection, group, timing, target.metrics, on_progress)
    return _point_from_seen(connection, target, load, timing, seen)


def _orders_from_load(target: Target, load: Load, timing: Timing, workers: int) -> list[Order]:
    """The load in equal parts, one a worker; an open loop's arrivals are dealt out like cards."""
    schedule = _arrivals(load, timing.warmup + timing.seconds)
    clients = load.clients if schedule is None else _OPEN_CLIENTS
    count = min(workers, clients)
    return [
        Order(
            protocol=load.protocol,
            url=target.address.place,
            tls=target.address.tls,
            requests=target.requests,
            expected=target.expected,
            tolerance=target.tolerance,
            clients=len(range(number, clients, count)),
            seconds=timing.seconds,
            warmup=timing.warmup,
            timeout=timing.timeout,
            first=number * len(target.requests) // count,
            schedule=None if schedule is None else schedule[number::count],
            headers=target.address.headers,
        )
        for number in range(count)
    ]


def _arrivals(load: Load, seconds: float) -> list[float] | None:
    if load.rate is None:
        return None
    if not load.poisson:
        return [number / load.rate for number in range(int(load.rate * seconds))]
    generator, times = random.Random(0), [0.0]
    while times[-1] < seconds:
        times.append(times[-1] + generator.expovariate(load.rate))
    return times[:-1]


def _run(
    connection: Connection, group: Workers, timing: Timing, metrics: str | None, on_progress: OnCounts
) -> LoadOutcome:
    """Run the workers; look at Triton's statistics and the CPU clocks where the measured window begins and ends."""
    start = group.begin()
    length = timing.warmup + timing.seconds
    gpus = Gpus(connection.address, metrics)

    def watch(until: float, *, measured: bool = False) -> None:
        while (now := time.monotonic()) < until and group.watch(min(until, now + _LOOK)):
            on_progress(min(1.0, (now - start) / length), *group.counts())
            if measured:
                gpus.look()

    watch(start + timing.warmup)
    before, told = snapshot(connection), step_metrics(metrics)
    began, cpu, used = time.monotonic(), cpu_times(), [process_seconds(), *group.cpu_seconds()]
    watch(start + length, measured=True)
    after, told, gpu = snapshot(connection), step_metrics(metrics) - told, gpus.use()
    seconds, machine = time.monotonic() - began, cpu_times() - cpu
    generator = [now - then for now, then in zip([process_seconds(), *group.cpu_seconds()], used, strict=True)]
    watch(start + length + timing.timeout + 5)
    if len(group.tallies) < len(group.started):
        raise UserError("a load process did not end in time")
    used_cores = (sum(generator), max(generator[1:]), machine.busy, machine.stolen)
    use = CpuUse(cores(), *(each / seconds for each in used_cores))
    return LoadOutcome(list(group.tallies.values()), snapshot_difference(before, after), told, use, gpu, seconds)


def _point_from_seen(connection: Connection, target: Target, load: Load, timing: Timing, seen: LoadOutcome) -> Point:
    intended, sent, answered, index = _columns(seen.tallies)
    end = timing.warmup + timing.seconds
    in_time = (answered >= timing.warmup) & (answered < end)
    counted = in_time if load.rate is None else (intended >= timing.warmup) & (intended < end)
    latency = (answered - intended)[counted] * 1000
    late = (sent - intended)[counted] * 1000
    front = callees_from_statistics(connection, target.front, seen.moved)
    client_ms = float(latency.mean() - late.mean()) if len(latency) else 0.0
    served = seen.moved[target.model].requests if target.model in seen.moved else 0
    return Point(
        model=target.model,
        load=load,
        seconds=timing.seconds,
        answers=int(counted.sum()),
        texts_per_s=float(in_time.sum()) * target.batch / timing.seconds,
        latency=_quantiles(latency),
        late={} if load.rate is None else _quantiles(late),
        failed=total_counts(tally.failed for tally in seen.tallies),
        changed=total_counts(tally.changed for tally in seen.tallies),
        split=split(front, seen.moved, client_ms, seen.told) if len(latency) else None,
        models=model_loads(front, seen.moved, seen.seconds),
        padding=padding(target, seen.told, index[counted]),
        cpu=seen.cpu,
        gpu=seen.gpu,
        foreign=_foreign(served, int(in_time.sum()) + sum(tally.wrong for tally in seen.tallies), load),
    )


def _columns(tallies: Sequence[Tally]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Intended, sent and answered times and the request's index, of all workers' right answers."""
    names = ("intended", "sent", "answered", "index")
    intended, sent, answered, index = (np.concatenate([getattr(tally, name) for tally in tallies]) for name in names)
    return intended, sent, answered, index.astype(np.int64)


def _quantiles(milliseconds: np.ndarray) -> dict[str, float]:
    """Mean, maximum and the quantiles that so many values can tell; empty when there are none.

    A p99 of 50 values would be another name for the largest one, so it is left out.
    """
    count = len(milliseconds)
    if not count:
        return {}
    known = {name: at for name, at in _QUANTILES.items() if at == 0.5 or count * (1 - at) >= 1}
    found = {name: float(np.quantile(milliseconds, at)) for name, at in known.items()}
    return {"mean": float(milliseconds.mean()), **found, "max": float(milliseconds.max())}


def total_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The workers' counts together, most frequent first, what was not kept apart last."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    others = {OTHERS: total.pop(OTHERS)} if OTHERS in total else {}
    return dict(total.most_common()) | others


def padding(target: Target, told: StepMetrics, index: np.ndarray) -> Padding | None:
    """As a BLS counted what it sent to its engine, else of the requests that were answered; None without a tokenizer.

    index: which request each answer is to.
    """
    real, padded = (told.counts.get((target.model, name), 0.0) for name in ("tokens", "padded_tokens"))
    if real:
        return Padding(padded / real - 1, exact=True)
    if target.lengths is None or not len(index):
        return None
    sent = np.bincount(index, minlength=len(target.requests))
    return Padding(target.lengths.waste(sent), target.lengths.exact)


def _foreign(served: int, answered: int, load: Load) -> int:
    """Requests that others sent meanwhile; what is in flight at the window's edges may be counted on either side."""
    beyond = served - answered - 2 * load.clients
    return beyond if beyond > 0.02 * served + 10 else 0
