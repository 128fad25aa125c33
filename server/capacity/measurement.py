"""A short bench of one replica: texts of several lengths one at a time, then requests that meet in its queue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tbgen.export.errors import UserError
from tbgen.server.bench.answers import ReferenceAnswers
from tbgen.server.bench.gpu import GpuUse
from tbgen.server.bench.machine import CpuUse
from tbgen.server.bench.parts import Front, Part
from tbgen.server.bench.point import Load, Point, Timing, measure, refuse_https
from tbgen.server.bench.report import wrong_sentences
from tbgen.server.bench.stages import ModelLoad
from tbgen.server.bench.sweep import OnProgress, Plan, PreparedModel, StepProgress, prepare, target
from tbgen.server.bench.texts import Corpus, Inputs
from tbgen.server.capacity.cost import TimedRun, fitted_cost
from tbgen.server.capacity.simulation import Replica, Texts
from tbgen.server.client.client import front_model
from tbgen.server.client.connection import Connection
from tbgen.server.client.replies import JsonObject

_LENGTHS = {"short": 0.1, "usual": 0.5, "long": 0.9}  # where such texts stand among all, by length
_CLIENTS = (2, 4, 8, 24)  # for each instance, of the loads in which requests meet
_MOST_CLIENTS = 24  # with more, the queue of a BLS takes requests over, and Triton's statistics count that alone
_ALIKE = 8  # texts of about one length
_MANY = 100  # runs
_TEXTS = 128  # different ones
_WARMUP = 0.5  # most seconds of load before a point


@dataclass(frozen=True)
class Measured:
    """A replica as it was measured.

    unit: what `tokens` are in texts and runs: "tokens", or "characters" where no tokenizer is at hand.
    runner: the model whose dynamic batcher joins requests; delay: microseconds for which that waits for more.
    cpu, gpu: of the highest load.
    """

    model: str
    runner: str
    unit: str
    replica: Replica
    texts: Texts
    runs: Sequence[TimedRun]
    cpu: CpuUse
    gpu: GpuUse | None
    delay: int = 0


class ReplicaBench:
    """Loads a front model of a running server.

    Args:
        seconds: of each point. checks: points that come after those of `measured`, for the progress.
        repository: the server's, if it is at hand; without it the tokens of texts are not known.

    Raises UserError, as its methods do: refused, failed or changed answers, or a server that caches them.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        corpus: Corpus,
        seconds: float,
        repository: Path | None,
        on_progress: OnProgress,
        checks: int = 0,
    ) -> None:
        refuse_https(connection.address)
        self.connection, self.model, self.seconds = connection, front_model(connection, name), seconds
        self.plan = Plan([], requests=_TEXTS)
        self.steps = StepProgress(1 + len(_LENGTHS) + 2 + len(_CLIENTS) + checks, on_progress)
        self.prepared = prepare(connection, self.model, corpus, self.plan, repository, self.steps)
        self.runner = _runner(self.prepared.front)
        self.config = connection.config(self.runner.model)
        self.batching = self.config.get("dynamic_batching", {})
        requests, lengths = self.prepared.asked.requests, self.prepared.lengths
        self.unit = "tokens" if lengths else "characters"
        self.tokens = np.array(lengths.padded if lengths else list(map(_characters, requests)), dtype=float)
        self.order = np.argsort(self.tokens, kind="stable")
        self.runs: list[TimedRun] = []  # as they are measured

    def measured(self) -> Measured:
        """All points, and the cost that fits them."""
        alike = {name: self.alike(share) for name, share in _LENGTHS.items()}
        ways = [self.alone(rows) for rows in alike.values()]
        for name in ("short", "long"):
            self.met(8, alike[name])
        highest = [self.met(clients, self.order) for clients in _CLIENTS][-1]
        return Measured(
            self.model,
            self.runner.model,
            self.unit,
            self.replica(self.runs, float(np.mean(ways))),
            Texts(self.tokens, self.tokens),
            self.runs,
            highest.cpu,
            highest.gpu,
            int(self.batching.get("max_queue_delay_microseconds", 0)),
        )

    def replica(self, runs: Sequence[TimedRun], way: float) -> Replica:
        """What these runs cost, and the rule of the runner's dynamic batcher, which takes no more than it prefers.

        Nor does it here take more than were seen together: larger runs may be cheaper, or too much for its queue.
        """
        preferred = map(int, self.batching.get("preferred_batch_size", ()))
        joins = "dynamic_batching" in self.config
        most = max(preferred, default=int(self.config["max_batch_size"])) if joins else 1
        seen = math.ceil(max(run.requests for run in runs))
        one_shape = self.prepared.front.part.role == "ensemble" and not _is_ragged(self.config)
        return Replica(fitted_cost(runs), self.runner.instances, min(most, seen), way, one_shape)

    def alike(self, share: float) -> np.ndarray:
        """The numbers of a few texts: neighbours by length, around that share of them."""
        first = round(share * len(self.order)) - _ALIKE // 2
        return self.order[max(0, min(first, len(self.order) - _ALIKE)) :][:_ALIKE]

    def alone(self, rows: np.ndarray) -> float:
        """Runs of one of these texts each; the seconds of an answer outside of them."""
        point = self.point(self.asked(rows), Load(self.connection.protocol, self.runner.instances))
        run = TimedRun(1, float(self.tokens[rows].mean()), self.part(point).execution_ms / 1000)
        self.runs.append(run)
        return max(0.0, point.latency["mean"] / 1000 - run.seconds)

    def met(self, clients: int, rows: np.ndarray) -> Point:
        """The point of the average run of these texts from so many clients for each instance.

        Short runs count from begin to begin: what lies between is Triton's. Of few, the ends of the point would count.
        """
        clients = max(self.runner.instances, min(clients * self.runner.instances, _MOST_CLIENTS))
        point = self.point(self.asked(np.sort(rows)), Load(self.connection.protocol, clients))
        part, requests = self.part(point), self.part(point).average_batch
        seconds = part.execution_ms / 1000
        if part.executions > _MANY:
            seconds = max(seconds, requests * self.runner.instances / point.texts_per_s)
        self.runs.append(TimedRun(requests, requests * float(self.tokens[rows].mean()), seconds))
        return point

    def asked(self, rows: np.ndarray) -> ReferenceAnswers:
        """The requests of these numbers."""
        asked = self.prepared.asked
        return ReferenceAnswers([asked.requests[row] for row in rows], [asked.expected[row] for row in rows], {})

    def arriving(self, rate: float, seconds: float) -> Point:
        """Requests of one text that come at random, so many a second; some may be refused."""
        point = self.loaded(self.prepared.asked, Load(self.connection.protocol, 0, rate, poisson=True), seconds)
        self.steps.done += 1
        return point

    def point(self, asked: ReferenceAnswers, load: Load) -> Point:
        """One measured load, all of whose answers are right; longer where no run ended in time."""
        for seconds in (self.seconds, 4 * self.seconds, 16 * self.seconds):
            point = self.loaded(asked, load, seconds)
            if sentences := wrong_sentences(point):
                raise UserError(f"{sentences[0]}; tbgen bench {self.model} tells more")
            if point.answers and self.part(point).executions:
                self.steps.done += 1
                return point
        raise UserError(f"no run of {self.runner.model!r} ended within {seconds:g} s: raise --duration")

    def loaded(self, asked: ReferenceAnswers, load: Load, seconds: float) -> Point:
        """One measured load."""
        made = target(PreparedModel(self.prepared.front, asked), self.connection.address, None, self.plan)
        timing, words = Timing(seconds, min(_WARMUP, seconds)), f"{self.model}: {load.label}"
        point = measure(self.connection, made, load, timing, 1, lambda share, *_: self.steps.show(words, share))
        if any(part.cache_hits for part in point.models):
            raise UserError(
                f"{self.model!r} answers from its response cache what it was asked before, which says nothing of new"
                " texts: ask a server without one (tbgen serve REPOSITORY --cache-size 0)"
            )
        return point

    def part(self, point: Point) -> ModelLoad:
        """How the runner was used."""
        return next(part for part in point.models if part.model == self.runner.model)


def _runner(front: Front) -> Part:
    """The model that joins requests into runs: the front itself, of an ensemble its engine, else its first step."""
    return next((step for step in front.steps if step.role == "engine"), (*front.steps, front.part)[0])


def _is_ragged(config: JsonObject) -> bool:
    """Whether requests of different shapes share a run."""
    return any(tensor.get("allow_ragged_batch") for tensor in config["input"])


def _characters(request: Inputs) -> int:
    """The characters of all texts of a request."""
    return sum(len(text.decode("utf-8")) for array in request.values() for text in array.flat)
