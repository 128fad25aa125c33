"""The comparison: all servers in turn, round by round, beside the bare engine.

One server runs at a time: started, its answers held against PyTorch's, warmed, measured with one client and with many.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.bare import engine_rate
from benchmarks.limit import batches_of
from benchmarks.load import answer_to, load
from benchmarks.models import checkpoint_of_shape, export_of_shape
from benchmarks.peers.contestants import (
    TUNED,
    WALKTHROUGH,
    Answer,
    Contestant,
    peer_contestant,
    tbgen_contestants,
    walkthrough_contestant,
)
from benchmarks.peers.peers import PEERS
from benchmarks.served import THREADS
from benchmarks.table import Row, row_of
from benchmarks.texts import lines

LINES, COMPARED = 400, 16
WARM_SECONDS, TRIED_SECONDS = 2.0, 3.0
CLIENTS = {"base": 16, "tiny": 32}
BARE = {"base": (16, 1), "tiny": (1, 2)}  # the bare loop beside many clients: texts in a group, and its sessions
NEAR = {"fp32": 0.005, "int8": 0.49}  # see difference; one answer for all texts would be wrong by half of the range
OURS = ("tbgen, bls", "tbgen, single", TUNED)
AHEAD = {
    ("base", "fp32"): 1.35,
    ("base", "int8"): 3.0,
    ("tiny", "fp32"): 4.0,
}  # of the best peer, at the same precision


def story_of(shape: str, precision: str) -> str:
    """The name under which results.json keeps a comparison."""
    return f"peers-{shape}-{precision}"


PEER_STORIES = tuple(story_of(*each) for each in AHEAD)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Load:
    """What a server did under so many clients: sentences a second, latencies in ms."""

    rate: float
    p50: float
    p99: float


@dataclass
class Measured:
    """One contestant's figures, many clients' and one's, an element for each round; or why there are none."""

    name: str
    precision: str
    settings: str
    many: list[Load] = field(default_factory=list)
    one: list[Load] = field(default_factory=list)
    failure: str = ""


@dataclass
class Comparison:
    """All figures of a shape. `bare_many`, `bare_one`: the bare loop's sentences a second at FP32, a round each."""

    shape: str
    clients: int
    measured: list[Measured] = field(default_factory=list)
    bare_many: list[float] = field(default_factory=list)
    bare_one: list[float] = field(default_factory=list)


def compare(
    shape: str, precisions: Sequence[str], *, seconds: float, rounds: int, sweep: bool, on_progress: Progress
) -> Comparison:
    """Measure every peer, the walk-through's recipe and tbgen. What does not run is kept with the reason.

    `sweep`: each peer with the best of its settings, tried beforehand; without, with its first.
    Raises RuntimeError when tbgen itself does not run, or answers otherwise than PyTorch.
    """
    texts, found = lines(LINES), Comparison(shape, CLIENTS[shape])
    expected = pytorch_answers(shape, texts[:COMPARED])

    def choose(name: str, precision: str) -> Contestant:
        if sweep:
            return best_settings(name, precision, shape, texts, on_progress)
        return peer_contestant(name, precision, shape, PEERS[name].tried[0])

    with tempfile.TemporaryDirectory() as folder:
        contestants = contestants_of(shape, precisions, Path(folder), choose)
        found.measured = [Measured(each.name, each.precision, each.settings) for each in contestants]
        pairs = list(zip(contestants, found.measured, strict=True))
        for turn in range(rounds):
            for contestant, record in (pair for pair in pairs if not pair[1].failure):
                with noting_failure(record):
                    take(contestant, record, texts, expected, found.clients, seconds)
                shown = record.failure or f"{record.many[-1].rate:.1f}/s"
                on_progress(f"round {turn + 1} of {rounds}: {contestant.title}: {shown}")
            take_bare(found, texts, seconds)
    return found


@contextmanager
def noting_failure(record: Measured) -> Iterator[None]:
    """Keep why another server fails; where tbgen's own fails, so does the comparison."""
    try:
        yield
    except RuntimeError as error:
        if record.name not in (*PEERS, WALKTHROUGH):
            raise RuntimeError(f"{record.name}, {record.precision}: {error}") from error
        record.failure = str(error)


def contestants_of(
    shape: str, precisions: Sequence[str], folder: Path, choose: Callable[[str, str], Contestant]
) -> list[Contestant]:
    """All of them, in the order of the table; `choose` gives a peer of a name and precision."""
    found = []
    for precision in precisions:
        found += tbgen_contestants(shape, precision, folder / precision)
        found += [choose(name, precision) for name in PEERS]
        if precision == "fp32":
            found.append(walkthrough_contestant(shape, folder / "walk-through"))
    return found


def best_settings(name: str, precision: str, shape: str, texts: Sequence[str], on_progress: Progress) -> Contestant:
    """A peer with those of its settings that answer most sentences a second of many clients, now."""
    rates = {}
    for settings in PEERS[name].tried:
        contestant = peer_contestant(name, precision, shape, settings)
        try:
            with contestant.running() as url:
                rates[settings] = load_of(contestant, url, texts, CLIENTS[shape], TRIED_SECONDS).rate
        except RuntimeError as error:
            rates[settings] = 0.0
            on_progress(f"{contestant.title}, {contestant.settings}: {error}")
        else:
            on_progress(f"{contestant.title}, {contestant.settings}: {rates[settings]:.1f}/s")
    return peer_contestant(name, precision, shape, max(rates, key=lambda settings: rates[settings]))


def difference(answers: Sequence[Answer], expected: Sequence[Answer], near: float) -> float:
    """The largest difference of a score, as a share of how far the expected ones lie apart (random weights': not far).

    Raises RuntimeError for another label, or for more than `near`.
    """
    scores = [want.score for want in expected]
    most = max(abs(have.score - score) for have, score in zip(answers, scores, strict=True)) / (
        max(scores) - min(scores)
    )
    others = sum(have.label != want.label for have, want in zip(answers, expected, strict=True))
    if others or most > near:
        raise RuntimeError(
            f"it answers otherwise than PyTorch: {others} of {len(expected)} labels are others, "
            f"scores differ by up to {most:.2g} of their range (at most {near:g})"
        )
    return most


def pytorch_answers(shape: str, texts: Sequence[str]) -> list[Answer]:
    """Best class and probability of each text, by transformers itself, text by text."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = checkpoint_of_shape(shape)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        best = [model(**tokenizer(text, return_tensors="pt")).logits[0].softmax(-1).max(-1) for text in texts]
    return [Answer(model.config.id2label[int(each.indices)], float(each.values)) for each in best]


def take(
    contestant: Contestant,
    record: Measured,
    texts: Sequence[str],
    expected: Sequence[Answer],
    clients: int,
    seconds: float,
) -> None:
    """One round of one contestant: its answers, half of `seconds` with one client, `seconds` with many.

    One first: what many have asked and not waited for keeps a slow server busy for long.
    """
    with contestant.running() as url:
        answers = [contestant.answer(answer_to(url, contestant.request(text))) for text in texts[: len(expected)]]
        difference(answers, expected, NEAR[contestant.precision])
        one = load_of(contestant, url, texts, 1, seconds / 2)
        many = load_of(contestant, url, texts, clients, seconds)
    record.many.append(many)
    record.one.append(one)


def load_of(contestant: Contestant, url: str, texts: Sequence[str], clients: int, seconds: float) -> Load:
    """What a running contestant does. Raises RuntimeError when a request is refused, or none is answered in time."""
    requests = [contestant.request(text) for text in texts]
    found = load(url, requests, clients=clients, seconds=seconds, warmup=WARM_SECONDS)
    return Load(found["answered"] / found["seconds"], found["p50_ms"], found["p99_ms"])


def take_bare(found: Comparison, texts: Sequence[str], seconds: float) -> None:
    """One round of the bare loop: in micro-batches, and text by text."""
    exported = export_of_shape(found.shape)
    for rates, (group, sessions) in ((found.bare_many, BARE[found.shape]), (found.bare_one, (1, 1))):
        batches, threads = batches_of(exported, texts, group, max_batch_size=min(group, 32)), THREADS // sessions
        rates.append(engine_rate(exported.model, batches, threads=threads, sessions=sessions, seconds=seconds / 2))


def over(rates: Sequence[Load], bare: Sequence[float]) -> list[float]:
    """Sentences a second over the bare loop's of the same round."""
    return [load.rate / limit for load, limit in zip(rates, bare, strict=True)]


def targets(found: Comparison) -> list[Row]:
    """How far tbgen is ahead, held against the targets: medians over rounds of ratios within a round."""
    return [
        row
        for ours in found.measured
        if ours.name in OURS
        for row in [*ahead_of_peers(found, ours), *ahead_of_recipe(found, ours)]
    ]


def ahead_of_peers(found: Comparison, ours: Measured) -> list[Row]:
    """Against the two fastest of the peers, and the lowest p99 of any."""
    peers = [
        each for each in found.measured if each.name in PEERS and each.precision == ours.precision and not each.failure
    ]
    if not peers:
        return []
    fastest = sorted(peers, key=lambda each: median(load.rate for load in each.many))[:-3:-1]
    calm = min(peers, key=lambda each: median(load.p99 for load in each.many))
    title, least = f"{ours.name}, {ours.precision}, {found.clients} clients", AHEAD.get((found.shape, ours.precision))
    return [
        *(
            row_of(f"{title}: sentences/s over {best.name}", ratios(ours.many, best.many, "rate"), least=least)
            for best in fastest
        ),
        row_of(f"{title}: p99 over {calm.name}'s", ratios(ours.many, calm.many, "p99"), most=1.0),
    ]


def ahead_of_recipe(found: Comparison, ours: Measured) -> list[Row]:
    """Against the walk-through's recipe, which has FP32 alone."""
    recipe = next((each for each in found.measured if each.name == WALKTHROUGH), None)
    if recipe is None or recipe.failure or ours.precision != recipe.precision or found.shape != "base":
        return []
    title = f"{ours.name}, {found.clients} clients"
    return [
        row_of(f"{title}: sentences/s over the {WALKTHROUGH}", ratios(ours.many, recipe.many, "rate"), least=10),
        row_of(f"{ours.name}, one client: p50 over the {WALKTHROUGH}", ratios(ours.one, recipe.one, "p50"), most=1 / 8),
    ]


def ratios(ours: Sequence[Load], theirs: Sequence[Load], figure: str) -> list[float]:
    return [getattr(a, figure) / getattr(b, figure) for a, b in zip(ours, theirs, strict=True)]
