"""`tbgen bench`: asks each text alone, then measures point after point, and gathers a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from tbgen.export.interrupt import partial_result
from tbgen.generator.compare.example import folder_example
from tbgen.generator.version import version
from tbgen.server.bench.answers import ReferenceAnswers, ask_alone
from tbgen.server.bench.machine import busy_cores, cores, processor
from tbgen.server.bench.padding import Lengths, lengths_from_repository
from tbgen.server.bench.parts import Front, front_from_server
from tbgen.server.bench.point import Load, Point, Target, Timing, measure, refuse_https, total_counts
from tbgen.server.bench.texts import Corpus, requests_from_corpus, text_inputs
from tbgen.server.bench.wire import grpc_request, http_request
from tbgen.server.client.address import Address
from tbgen.server.client.client import front_models
from tbgen.server.client.connection import Connection

_WORKERS = {"http": 4, "grpc": 2}  # cores for each load process, by default

OnProgress = Callable[[str, float], None]  # what runs now, share of everything that is done


@dataclass(frozen=True)
class Plan:
    """What is measured and how.

    requests: how many different requests there are; each is asked alone first.
    batch: texts in a request.
    rounds: times that each point is measured, all points once a round.
    tolerance: most that a floating-point value of an answer may differ from that of the text asked alone.
    workers: load processes; None: one for every few cores.
    """

    loads: Sequence[Load]
    timing: Timing = field(default_factory=Timing)
    rounds: int = 1
    batch: int = 1
    requests: int = 256
    tolerance: float = 1e-3
    workers: int | None = None


@dataclass(frozen=True)
class ModelTexts:
    """The requests that a model answered when asked alone, why others were refused, and their lengths if known."""

    model: str
    requests: int
    refused: Mapping[str, int]
    characters: Sequence[int]
    lengths: Lengths | None


@dataclass(frozen=True)
class Report:
    """All of a benchmark: where, when, with what, and the points.

    busy_before: cores of this machine that were at work before the load began.
    missing: how far an interrupt let it come; empty of a whole one.
    """

    tbgen: str
    triton: str
    taken: str
    processor: str
    cores: int
    busy_before: float
    corpus: str
    plan: Plan
    texts: Sequence[ModelTexts]
    points: Sequence[Point]
    missing: str = ""

    @property
    def wrong(self) -> int:
        """Requests that failed or whose answers changed, and those that were refused at once."""
        refused = sum(sum(texts.refused.values()) for texts in self.texts)
        return refused + sum(sum(p.failed.values()) + sum(p.changed.values()) for p in self.points)


@dataclass(frozen=True)
class PreparedModel:
    front: Front
    asked: ReferenceAnswers
    lengths: Lengths | None = None

    @property
    def model(self) -> str:
        return self.front.part.model


def bench(
    names: Sequence[str],
    addresses: Sequence[Address],
    corpus: Corpus,
    plan: Plan,
    *,
    repository: Path | None = None,
    metrics: str | None = None,
    on_progress: OnProgress = lambda text, share: None,  # noqa: ARG005
) -> Report:
    """Measure models of a running Triton.

    Args:
        names: front models, or names given to scaffold, which mean all of theirs.
        addresses: of one server, one for each protocol of the loads.
        repository: the server's model repository, if it is at hand; without it padding and truncation are not known.
        metrics: address of the server's metrics page, on which models tell of their steps; None: not at hand.
        on_progress: called often.

    Raises UserError; PartialResult, with a report, where an interrupt comes behind the first point.
    """
    for address in addresses:
        refuse_https(address)
    refuse_proxies(addresses[1:])
    busy_before = busy_cores()
    with Connection(addresses[0]) as connection:
        names = list(dict.fromkeys(model for name in names for model in front_models(connection, name)))
        total = len(names) * (1 + len(plan.loads) * plan.rounds)
        steps = StepProgress(total, on_progress)
        models = [prepare(connection, name, corpus, plan, repository, steps) for name in names]
        targets = {
            (model.model, address.protocol): target(model, address, metrics, plan)
            for model in models
            for address in addresses
        }
        pairs = [(targets[model.model, load.protocol], load) for model in models for load in plan.loads]
        triton = connection.metadata()["version"] or "unknown"
        rounds: list[list[Point]] = [[] for _ in pairs]

        def report() -> Report:
            points = [_merged(same) for same in rounds if same]
            texts = [_model_texts(model) for model in models]
            taken = datetime.now(timezone.utc).isoformat(timespec="seconds")
            where = version(), triton, taken, processor(), cores(), busy_before, corpus.source
            return Report(*where, plan, texts, points, _missing(rounds, plan))

        with partial_result(lambda: report() if any(rounds) else None):
            _measure_rounds(connection, pairs, plan, steps, rounds)
        return report()


def refuse_proxies(addresses: Sequence[Address]) -> None:
    """Raise UserError where one of them is of several servers, whose answers would be counted as one's."""
    for address in addresses:
        with Connection(address) as connection:
            connection.refuse_proxy()


class StepProgress:
    """Progress over a known number of equal steps."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self.total, self.on_progress, self.done = total, on_progress, 0

    def show(self, text: str, share: float) -> None:
        self.on_progress(text, (self.done + share) / self.total)


def prepare(
    connection: Connection, model: str, corpus: Corpus, plan: Plan, repository: Path | None, steps: StepProgress
) -> PreparedModel:
    """Draw the model's requests, and ask each alone. Raises UserError, as where figures would be of several servers."""
    connection.refuse_proxy()
    inputs = text_inputs(connection.config(model), plan.batch)
    said = folder_example(repository / model) if repository else {}
    requests = requests_from_corpus(corpus, inputs, plan.requests, said)
    asked = ask_alone(connection, model, requests, steps.show)
    front = front_from_server(connection, model, repository)
    steps.done += 1
    return PreparedModel(front, asked, lengths_from_repository(repository, front, asked.requests))


def _measure_rounds(
    connection: Connection,
    pairs: Sequence[tuple[Target, Load]],
    plan: Plan,
    steps: StepProgress,
    rounds: Sequence[list[Point]],
) -> None:
    """Every point once a round, so that a slow minute of the machine does not hit one point alone, into `rounds`."""
    for _ in range(plan.rounds):
        for same, pair in zip(rounds, pairs, strict=True):
            same.append(_measured(connection, *pair, plan, steps))


def _missing(rounds: Sequence[Sequence[Point]], plan: Plan) -> str:
    """How far an interrupt let the measuring come; empty where it came to its end."""
    done, total = sum(map(len, rounds)), plan.rounds * len(rounds)
    return "" if done == total else f"interrupted: {done} of {total} measurements were done"


def _measured(connection: Connection, target: Target, load: Load, plan: Plan, steps: StepProgress) -> Point:
    def show(share: float, answered: int, wrong: int) -> None:
        gone = f", {wrong} WRONG" if wrong else ""
        steps.show(f"{target.model} {load.protocol} {load.label}: {answered} answered{gone}", share)

    workers = plan.workers or max(1, cores() // _WORKERS[load.protocol])
    point = measure(connection, target, load, plan.timing, workers, show)
    steps.done += 1
    return point


def target(model: PreparedModel, address: Address, metrics: str | None, plan: Plan) -> Target:
    """A prepared model at one address of its server."""
    build = partial(http_request, headers=address.headers) if address.protocol == "http" else grpc_request
    return Target(
        model=model.model,
        address=address,
        front=model.front,
        batch=plan.batch,
        requests=[build(model.model, request, address.place) for request in model.asked.requests],
        expected=model.asked.expected,
        tolerance=plan.tolerance,
        lengths=model.lengths,
        metrics=metrics,
    )


def _merged(rounds: Sequence[Point]) -> Point:
    """The round of median throughput, with the wrong answers of all rounds."""
    middle = sorted(rounds, key=lambda point: point.texts_per_s)[len(rounds) // 2]
    return replace(
        middle,
        failed=total_counts(point.failed for point in rounds),
        changed=total_counts(point.changed for point in rounds),
        rounds=[point.texts_per_s for point in rounds] if len(rounds) > 1 else (),
    )


def _model_texts(model: PreparedModel) -> ModelTexts:
    return ModelTexts(
        model.model,
        len(model.asked.requests),
        model.asked.refused,
        [
            len(text.decode("utf-8"))
            for request in model.asked.requests
            for array in request.values()
            for text in array.flat
        ],
        model.lengths,
    )
