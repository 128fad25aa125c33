"""A report as one self-contained HTML page: no script, nothing loaded, light and dark, desktop and phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape

from tbgen.server.bench.padding import Lengths
from tbgen.server.bench.plots import Series, length_plot, rate_plot, series_from_points, stage_plot
from tbgen.server.bench.point import Point
from tbgen.server.bench.report import labels, milliseconds, padding_text, remarks, wrong, wrong_sentences
from tbgen.server.bench.stages import ABOUT, NAMES
from tbgen.server.bench.style import STYLE
from tbgen.server.bench.sweep import Report

WIDE, NARROW = 540.0, 300.0  # pixels that a plot gets on a desktop and on a phone
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LENGTH_LEGEND = '<span class="key edge">length that texts are padded to</span><span class="key average">mean</span>'

Rows = list[list[str]]


def page_from_report(report: Report) -> str:
    """The whole page."""
    models = ", ".join(dict.fromkeys(point.model for point in report.points))
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f"<title>tbgen bench: {escape(models)}</title>",
            f"<style>{STYLE}</style></head>",
            f"<body><main>{''.join(sections(report, models))}</main></body>",
            "</html>\n",
        ]
    )


def sections(report: Report, models: str) -> Iterator[str]:
    """The parts of the page from top to bottom."""
    names, series = labels(report.points), series_from_points(report.points)
    about = f"Triton {report.triton} · {report.processor}, {report.cores} cores · {report.corpus} · {report.taken}"
    yield f"<header><h1>{escape(models)}</h1><p>{escape(about)}</p></header>"
    yield f'<div class="tiles">{"".join(tiles(report, names))}</div>'
    yield f'<ul class="remarks">{"".join(remark_items(report, names))}</ul>'
    yield '<div class="plots"><div>'
    yield figure("Throughput against latency", lambda width: rate_plot(series, width), rate_legend(series))
    for title, lengths in different_lengths(report):
        yield figure(title, partial(length_plot, lengths), LENGTH_LEGEND)
    yield "</div><div>"
    yield figure("Where the time goes", lambda width: stage_plot(report.points, names, width), stage_legend(report))
    yield "</div></div>"
    yield table("Rates and latencies", rate_rows(report.points, names))
    yield table("Where the time of an average request goes, in ms", stage_rows(report.points, names))
    for model in dict.fromkeys(point.model for point in report.points):
        yield table(f"{model}: texts an execution, share of the time busy", model_rows(report.points, names, model))
    yield f"<footer>{''.join(f'<p>{escape(sentence)}</p>' for sentence in how(report))}</footer>"


def tiles(report: Report, names: Sequence[str]) -> Iterator[str]:
    """The figures that are looked at first."""
    named = list(zip(report.points, names, strict=True))
    best, best_name = max(named, key=lambda pair: pair[0].texts_per_s)
    yield tile("most texts a second", f"{best.texts_per_s:,.0f}", best_name)
    answered = [pair for pair in named if pair[0].latency]
    if answered:
        quickest, name = min(answered, key=lambda pair: pair[0].latency["p50"])
        yield tile("lowest p50", f"{milliseconds(quickest.latency['p50'])} ms", name)
        yield tile("p99 at most texts", f"{milliseconds(best.latency.get('p99'))} ms", best_name)
    yield tile("padding", padding_text(best), "padded / real tokens - 1")
    yield tile("wrong answers", str(report.wrong), "failed, changed or refused", "bad" if report.wrong else "good")


def tile(name: str, value: str, note: str, css: str = "") -> str:
    return (
        f'<div class="tile"><span>{escape(name)}</span><b class="{css}">{escape(value)}</b><i>{escape(note)}</i></div>'
    )


def remark_items(report: Report, names: Sequence[str]) -> Iterator[str]:
    """What a reader must know, then each thing that went wrong."""
    for weight, sentence in remarks(report):
        yield f'<li class="{weight}">{escape(sentence)}</li>'
    for texts in report.texts:
        for sentence, count in texts.refused.items():
            yield f'<li class="bad">{escape(f"{texts.model}: {count} x refused: {sentence}")}</li>'
    for name, point in zip(names, report.points, strict=True):
        for sentence in wrong_sentences(point):
            yield f'<li class="bad">{escape(f"{name}: {sentence}")}</li>'


def figure(title: str, draw: Callable[[float], str], legend: str) -> str:
    """A plot, drawn once for desktops and once for phones; the page shows the one that fits."""
    return (
        f'<figure><h2>{escape(title)}</h2><div class="legend">{legend}</div>'
        f'<div class="wide">{draw(WIDE)}</div><div class="narrow">{draw(NARROW)}</div></figure>'
    )


def rate_legend(series: Sequence[Series]) -> str:
    """Which colour is which model and protocol, which line which quantile."""
    keys = "".join(
        f'<span class="key" style="--key: var(--{each.colour})">{escape(each.name)}</span>' for each in series
    )
    return keys + '<span class="key solid">p50, with the number of clients</span><span class="key dashed">p99</span>'


def stage_legend(report: Report) -> str:
    """The stages that occur, each with what it means."""
    seen = [name for name in NAMES if any(point.split and name in point.split.stages for point in report.points)]
    return "".join(
        f'<span class="key" style="--key: var(--{name})" title="{escape(ABOUT[name])}">{name}</span>' for name in seen
    )


def different_lengths(report: Report) -> Iterator[tuple[str, Lengths]]:
    """The lengths of each model, once for models that see the same."""
    seen: list[Lengths] = []
    for texts in report.texts:
        lengths = texts.lengths
        if lengths and not any(same_lengths(lengths, other) for other in seen):
            yield f"Lengths and buckets of {texts.model}" if seen else "Lengths and buckets", lengths
            seen.append(lengths)


def same_lengths(one: Lengths, other: Lengths) -> bool:
    """Whether two models see the same tokens in the same buckets."""
    return one.buckets == other.buckets and one.tokens.tolist() == other.tokens.tolist()


def table(title: str, rows: Rows) -> str:
    """A table that scrolls sideways by itself where it is too wide; the first row is its head."""
    head, *body = (["".join(f"<{tag}>{cell}</{tag}>" for cell in row)] for tag, row in tagged(rows))
    lines = "".join(f"<tr>{''.join(row)}</tr>" for row in body)
    return (
        f"<section><h2>{escape(title)}</h2>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{"".join(head)}</tr></thead><tbody>{lines}</tbody></table>'
        "</div></section>"
    )


def tagged(rows: Rows) -> Iterator[tuple[str, list[str]]]:
    """Each row with the tag of its cells, the cells escaped."""
    for number, row in enumerate(rows):
        yield "td" if number else "th", [escape(cell) for cell in row]


def rate_rows(points: Sequence[Point], names: Sequence[str]) -> Rows:
    """What the clients saw."""
    quantiles = ("mean", "p50", "p90", "p95", "p99", "p99.9", "max")
    head = ["load", "texts/s", *(f"{name} ms" for name in quantiles), "answers", "wrong", "padding", "load CPU"]
    return [
        head,
        *(
            [
                name,
                f"{point.texts_per_s:,.1f}",
                *(milliseconds(point.latency.get(quantile)) for quantile in quantiles),
                f"{point.answers:,}",
                str(wrong(point)),
                padding_text(point),
                f"{point.cpu.generator:.2f} of {point.cpu.cores}",
            ]
            for name, point in zip(names, points, strict=True)
        ),
    ]


def stage_rows(points: Sequence[Point], names: Sequence[str]) -> Rows:
    """Each stage, and all together."""
    seen = [stage for stage in NAMES if any(point.split and stage in point.split.stages for point in points)]
    rows = [["load", *seen, "together"]]
    for name, point in zip(names, points, strict=True):
        found = point.split.stages if point.split else {}
        cells = [milliseconds(found.get(stage)) for stage in seen]
        rows.append([name, *cells, milliseconds(sum(found.values()) if found else None)])
    return rows


def model_rows(points: Sequence[Point], names: Sequence[str], model: str) -> Rows:
    """Each model behind a front, at each load of the front."""
    chosen = [(name, point) for name, point in zip(names, points, strict=True) if point.model == model]
    parts = {part.model: part for _, point in chosen for part in point.models if part.role != "ensemble"}
    rows = [["load", *(f"{name} × {part.instances}" for name, part in parts.items())]]
    for name, point in chosen:
        used = {part.model: part for part in point.models}
        cells = [f"{used[n].average_batch:.2f}, {used[n].busy_share:.0%}" if n in used else "-" for n in parts]
        rows.append([name, *cells])
    return rows


def how(report: Report) -> Iterator[str]:
    """How the figures were taken."""
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
