"""`tbgen tune`: turns one knob after the other on the user's own server and texts, keeps what wins, proves it.

A setting counts by the geometric mean of its rates over the loads (with one client the rate is one over the latency, so
the mean of one and many clients weighs both). It must answer every text as the repository answered it before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tbgen.export.errors import UserError
from tbgen.export.interrupt import partial_result
from tbgen.server.bench.answers import ReferenceAnswers
from tbgen.server.bench.gpu import GpuUse
from tbgen.server.bench.machine import cores
from tbgen.server.bench.parts import Front, front_from_server
from tbgen.server.bench.point import Load, Timing, measure
from tbgen.server.bench.sweep import OnProgress, Plan, PreparedModel, StepProgress, prepare, target
from tbgen.server.bench.texts import Corpus
from tbgen.server.client.address import Address
from tbgen.server.client.client import front_model
from tbgen.server.client.connection import Connection
from tbgen.server.tune.knobs import KNOBS, Draft, Settings, turn_knobs, values_of
from tbgen.server.tune.stages import Edits

_BETTER = 1.03  # times the best so far: less may be noise
PROOF_ROUNDS = 3


class Stage(Protocol):
    """Where settings are tried, see stages.py."""

    def serving(self, edits: Edits, models: Sequence[str]) -> AbstractContextManager[Address]:
        """Serve the models as edited; gives the server's address."""
        ...


@dataclass(frozen=True)
class TunePlan(Plan):
    """How settings are compared: each load counts the same.

    minutes: for the search; the proof of the result comes after.
    """

    loads: Sequence[Load] = (Load("http", 1), Load("http", 16))
    timing: Timing = field(default_factory=lambda: Timing(3.0, 1.0))
    requests: int = 128
    minutes: float = 10.0


@dataclass(frozen=True)
class Trial:
    """What a setting reached: texts a second at each load; or why it is out of the question."""

    settings: Settings
    rates: Sequence[float]
    refused: str = ""
    gpu: Sequence[GpuUse | None] = ()

    @property
    def score(self) -> float:
        """0 for a setting that is out of the question."""
        return statistics.geometric_mean(self.rates) if self.rates and min(self.rates) > 0 else 0.0


@dataclass(frozen=True)
class TuneResult:
    """The outcome: rates before and after, interleaved, and the edits that lead there (none: nothing won).

    gains: after / before of each round of the proof, by score. missing: how far an interrupt let it come, if one did.
    """

    model: str
    loads: Sequence[Load]
    trials: Sequence[Trial]
    settings: Settings
    edits: Edits
    before: Sequence[float]
    after: Sequence[float]
    gains: Sequence[float]
    missing: str = ""

    @property
    def gain(self) -> float:
        """The median of the gains; 1.0 when nothing won."""
        return statistics.median(self.gains) if self.gains else 1.0


@dataclass(frozen=True)
class Subject:
    draft: Draft
    asked: ReferenceAnswers
    plan: TunePlan

    @property
    def model(self) -> str:
        return self.draft.front.part.model


def tune(
    name: str,
    repository: Path,
    stage: Stage,
    corpus: Corpus,
    plan: TunePlan,
    on_progress: OnProgress = lambda text, share: None,  # noqa: ARG005
) -> TuneResult:
    """Search settings of a front model for at most `plan.minutes`, then prove the best. Raises UserError.

    Nothing is written into the repository; `edits` of the outcome are what to write. An interrupt of the search or the
    proof brings along what was tried before it (PartialResult).
    """
    clock = Clock(plan.minutes * 60, on_progress)
    subject, first = _baseline(name, repository, stage, corpus, plan, clock)
    trials = [first]
    with partial_result(lambda: _outcome(subject, trials, first, [], missing="interrupted: the search did not end")):
        best = _search(subject, stage, trials, clock)
        rounds = [] if best is first else _prove(subject, stage, best.settings, clock)
    return _outcome(subject, trials, best, rounds)


def _outcome(
    subject: Subject, trials: Sequence[Trial], best: Trial, rounds: Sequence[tuple[Trial, Trial]], missing: str = ""
) -> TuneResult:
    """What a search and the rounds of its proof come to."""
    gains = [after.score / before.score for before, after in rounds if before.score]
    won = bool(gains) and statistics.median(gains) > _BETTER and not any(after.refused for _, after in rounds)
    return TuneResult(
        subject.model,
        subject.plan.loads,
        trials,
        best.settings if won else {},
        turn_knobs(subject.draft, best.settings).edits() if won else {},
        _medians([before for before, _ in rounds] or [trials[0]]),
        _medians([after for _, after in rounds] or [trials[0]]),
        gains,
        missing,
    )


class Clock:
    """The time limit of the search, and what is said meanwhile."""

    def __init__(self, seconds: float, on_progress: OnProgress) -> None:
        self.began, self.seconds, self.on_progress = time.monotonic(), seconds, on_progress

    @property
    def share(self) -> float:
        """How much of the time is used up."""
        return (time.monotonic() - self.began) / self.seconds

    def say(self, text: str) -> None:
        self.on_progress(text, min(1.0, self.share))


def _baseline(
    name: str, repository: Path, stage: Stage, corpus: Corpus, plan: TunePlan, clock: Clock
) -> tuple[Subject, Trial]:
    """The model as it is: what it answers, and how fast."""
    clock.say("the repository as it is")
    with stage.serving({}, []) as address, Connection(address) as connection:
        model = front_model(connection, name)
        found = prepare(connection, model, corpus, plan, repository, StepProgress(1, lambda text, _: clock.say(text)))
        subject = Subject(Draft(repository, found.front, cores()), found.asked, plan)
        return subject, _measured(subject, found.front, connection, {}, clock)


def _search(subject: Subject, stage: Stage, trials: list[Trial], clock: Clock) -> Trial:
    """Turn each knob in its order, again from the start while that wins and there is time: the best of `trials`."""
    best = trials[0]
    improved = True
    while improved:
        improved = False
        for name, knob in KNOBS.items():
            standing = turn_knobs(subject.draft, best.settings)
            now = knob.now(standing)
            for value in values_of(name, standing):
                settings = {**best.settings, name: value}
                if value == now or any(trial.settings == settings for trial in trials):
                    continue
                if clock.share >= 1.0:
                    return best
                trial = run_trial(subject, stage, settings, clock)
                if trial.score > best.score * _BETTER:
                    best, trial = _confirmed(subject, stage, best, trial, clock)
                    improved = improved or best is trial
                trials.append(trial)
    return best


def _confirmed(subject: Subject, stage: Stage, best: Trial, trial: Trial, clock: Clock) -> tuple[Trial, Trial]:
    """Measure both once more, so that a lucky moment does not win: the better one, and the trial with both its rates.

    A setting is worth the lower of its two scores, what it must beat the higher of the two.
    """
    again, rival = run_trial(subject, stage, trial.settings, clock), run_trial(subject, stage, best.settings, clock)
    trial = min(trial, again, key=lambda each: each.score)
    return (trial if trial.score > max(best.score, rival.score) * _BETTER else best), trial


def run_trial(subject: Subject, stage: Stage, settings: Settings, clock: Clock) -> Trial:
    """Serve a setting and measure it; one that does not load or answers otherwise is out of the question."""
    clock.say(settings_text(settings))
    edits = turn_knobs(subject.draft, settings).edits()
    try:
        with stage.serving(edits, subject.draft.models) as address, Connection(address) as connection:
            front = front_from_server(connection, subject.model, subject.draft.repository)
            return _measured(subject, front, connection, settings, clock)
    except UserError as error:
        return Trial(settings, (), error.message)


def _measured(subject: Subject, front: Front, connection: Connection, settings: Settings, clock: Clock) -> Trial:
    plan, rates, gpu = subject.plan, [], []
    made = target(PreparedModel(front, subject.asked), connection.address, None, plan)
    for load in plan.loads:
        point = measure(
            connection,
            made,
            load,
            plan.timing,
            1,
            lambda *_: clock.say(f"{settings_text(settings)}: {load.label}"),  # noqa: B023
        )
        if wrong := {**point.failed, **point.changed}:
            return Trial(settings, (), f"{sum(wrong.values())} wrong answers: {next(iter(wrong))}")
        rates.append(point.texts_per_s)
        gpu.append(point.gpu)
    return Trial(settings, rates, gpu=gpu)


def _prove(subject: Subject, stage: Stage, settings: Settings, clock: Clock) -> list[tuple[Trial, Trial]]:
    """Before and after by turns, so that a slow minute of the machine hits both."""
    return [
        (run_trial(subject, stage, {}, clock), run_trial(subject, stage, settings, clock)) for _ in range(PROOF_ROUNDS)
    ]


def _medians(trials: Sequence[Trial]) -> list[float]:
    return [statistics.median(rates) for rates in zip(*(trial.rates for trial in trials if trial.rates), strict=True)]


def settings_text(settings: Settings) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in settings.items()) or "as it is"


def _shown(value: Any) -> str:
    """A value of a knob: (2, 4) as 2 x 4."""
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)
