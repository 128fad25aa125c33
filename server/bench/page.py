"""A report as one self-contained HTML page: no script, nothing loaded, light and dark, desktop and phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tbgen.export.errors import require
from tbgen.server.bench.gpu import gpu_text
from tbgen.server.bench.padding import Lengths
from tbgen.server.bench.plots import STYLE, length_plot, rate_plot, series_from_points, stage_plot
from tbgen.server.bench.point import Point
from tbgen.server.bench.report import labels, milliseconds, padding_text, remarks, stage_rows, wrong, wrong_sentences
from tbgen.server.bench.stages import ABOUT, TITLE
from tbgen.server.bench.sweep import Report

_TEMPLATE = Path(__file__).with_name("page.html")
_WIDE, _NARROW = 540.0, 300.0  # pixels that a plot gets on a desktop and on a phone

Rows = list[list[str]]


def check_packages() -> None:
    """Raise MissingExtra where a page cannot be made, which should be known before anything is measured."""
    for package in ("jinja2", "matplotlib"):
        require(package, extra="report")


def page_from_report(report: Report) -> str:
    """The whole page. Raises MissingExtra."""
    jinja = require("jinja2", extra="report")
    names, series = labels(report.points), series_from_points(report.points)
    models = list(dict.fromkeys(point.model for point in report.points))
    stages = stage_rows(report.points)
    template = jinja.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    return template.render(
        models=", ".join(models),
        report=report,
        tiles=_tiles(report, names),
        remarks=_remark_items(report, names),
        rates=_drawn(partial(rate_plot, series)),
        series=series,
        lengths=[(title, _drawn(partial(length_plot, lengths))) for title, lengths in _different_lengths(report)],
        stages=_drawn(partial(stage_plot, report.points, names)),
        about={stage: ABOUT[stage] for stage in stages[0][:-1]},
        tables=[
            ("Rates and latencies", _rate_rows(report.points, names)),
            (f"{TITLE}, in ms", [[name, *row] for name, row in zip(["load", *names], stages, strict=True)]),
            *(
                (f"{model}: texts an execution, share of the time busy", _model_rows(report.points, names, model))
                for model in models
            ),
        ],
        how=_how(report),
    )


def _drawn(draw: Callable[[float], str]) -> dict[str, str]:
    """A plot, drawn once for desktops and once for phones; the page shows the one that fits."""
    with require("matplotlib", extra="report").rc_context(STYLE):
        return {"wide": draw(_WIDE), "narrow": draw(_NARROW)}


def _tiles(report: Report, names: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """The figures that are looked at first: name, value, note, CSS class."""
    named = list(zip(report.points, names, strict=True))
    best, best_name = max(named, key=lambda pair: pair[0].texts_per_s)
    yield "most texts a second", f"{best.texts_per_s:,.0f}", best_name, ""
    answered = [pair for pair in named if pair[0].latency]
    if answered:
        quickest, name = min(answered, key=lambda pair: pair[0].latency["p50"])
        yield "lowest p50", f"{milliseconds(quickest.latency['p50'])} ms", name, ""
        yield "p99 at most texts", f"{milliseconds(best.latency.get('p99'))} ms", best_name, ""
    yield "padding", padding_text(best), "padded / real tokens - 1", ""
    yield "wrong answers", str(report.wrong), "failed, changed or refused", "bad" if report.wrong else "good"


def _remark_items(report: Report, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What a reader must know, then each thing that went wrong: its weight and a sentence."""
    yield from remarks(report)
    for texts in report.texts:
        for sentence, count in texts.refused.items():
            yield "bad", f"{texts.model}: {count} x refused: {sentence}"
    for name, point in zip(names, report.points, strict=True):
        for sentence in wrong_sentences(point):
            yield "bad", f"{name}: {sentence}"


def _different_lengths(report: Report) -> Iterator[tuple[str, Lengths]]:
    """The lengths of each model, once for models that see the same."""
    seen: list[Lengths] = []
    for texts in report.texts:
        lengths = texts.lengths
        if lengths and not any(_same_lengths(lengths, other) for other in seen):
            yield f"Lengths and buckets of {texts.model}" if seen else "Lengths and buckets", lengths
            seen.append(lengths)


def _same_lengths(one: Lengths, other: Lengths) -> bool:
    return one.buckets == other.buckets and one.tokens.tolist() == other.tokens.tolist()


def _rate_rows(points: Sequence[Point], names: Sequence[str]) -> Rows:
    quantiles = ("mean", "p50", "p90", "p95", "p99", "p99.9", "max")
    head = ["load", "texts/s", *(f"{name} ms" for name in quantiles), "answers", "wrong", "padding", "load CPU"]
    on_gpu = any(point.gpu for point in points)
    return [
        [*head, *(["GPU"] if on_gpu else [])],
        *(
            [
                name,
                f"{point.texts_per_s:,.1f}",
                *(milliseconds(point.latency.get(quantile)) for quantile in quantiles),
                f"{point.answers:,}",
                str(wrong(point)),
                padding_text(point),
                f"{point.cpu.generator:.2f} of {point.cpu.cores}",
                *([gpu_text(point.gpu)] if on_gpu else []),
            ]
            for name, point in zip(names, points, strict=True)
        ),
    ]


def _model_rows(points: Sequence[Point], names: Sequence[str], model: str) -> Rows:
    """Each model behind a front, at each load of the front."""
    chosen = [(name, point) for name, point in zip(names, points, strict=True) if point.model == model]
    parts = {part.model: part for _, point in chosen for part in point.models if part.role != "ensemble"}
    rows = [["load", *(f"{name} × {part.instances}" for name, part in parts.items())]]
    for name, point in chosen:
        used = {part.model: part for part in point.models}
        cells = [f"{used[n].average_batch:.2f}, {used[n].busy_share:.0%}" if n in used else "-" for n in parts]
        rows.append([name, *cells])
    return rows


def _how(report: Report) -> Iterator[str]:
    plan, timing = report.plan, report.plan.timing
    rounds = f", the median of {plan.rounds} rounds by rate" if plan.rounds > 1 else ""
    yield (
        f"Each point: {timing.seconds:g} s after {timing.warmup:g} s of warm-up{rounds}; {plan.batch} text"
        f"{'s' * (plan.batch != 1)} a request; {plan.requests} different requests, each asked alone first. An answer"
        f" counts when it equals that one (numbers within {plan.tolerance:g})."
    )
    if any(point.load.rate for point in report.points):
        yield (
            "Open loops (so many a second): latency runs from the moment a request was meant to leave, so that waiting"
            " behind a slow answer counts. Closed loops (clients): each client sends when its last answer is there."
        )
    yield "Stages are Triton's own statistics, averages over the requests of the measured window."
    yield f"tbgen {report.tbgen}"
