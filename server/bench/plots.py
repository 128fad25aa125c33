"""The plots of a report as inline SVG: throughput against latency, stage split, length histogram with buckets.

Colours are CSS variables of the page, so that a plot follows its light or dark scheme. Each plot is drawn for a given
width in pixels: text stays legible on a phone because a phone gets a narrower drawing, not a scaled one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from tbgen.server.bench.padding import Lengths
from tbgen.server.bench.point import Point
from tbgen.server.bench.report import histogram, milliseconds
from tbgen.server.bench.stages import NAMES

Scale = Callable[[float], float]

LEFT, RIGHT, TOP, BOTTOM = 54, 24, 26, 40
CHARACTER = 6.6  # pixels, of the font that the page gives plots


@dataclass(frozen=True)
class Series:
    """Points of one model over one protocol, closed or open loop, in the order of their load."""

    name: str
    colour: str
    closed: bool
    points: Sequence[Point]


SERIES_COLOURS = ("s0", "s1", "s2", "s3", "s4", "s5")  # variables of the page's style


def series_from_points(points: Sequence[Point]) -> list[Series]:
    """One series for each model, protocol and kind of loop; their names leave out what all have in common."""
    keys = dict.fromkeys((point.model, point.load.protocol, point.load.rate is None) for point in points)
    models, protocols = {key[0] for key in keys}, {key[1] for key in keys}
    series = []
    for number, (model, protocol, closed) in enumerate(keys):
        words = [*([model] if len(models) > 1 else []), *([protocol] if len(protocols) > 1 else [])]
        found = [p for p in points if (p.model, p.load.protocol, p.load.rate is None) == (model, protocol, closed)]
        name = " ".join([*words, "closed loop" if closed else "open loop"])
        series.append(Series(name, SERIES_COLOURS[number % len(SERIES_COLOURS)], closed, found))
    return series


def svg(width: float, height: float, label: str, marks: Iterable[str]) -> str:
    """A drawing of a fixed size in pixels, with a text for those who cannot see it."""
    inside = "".join(marks)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img"'
        f' aria-label="{escape(label)}">{inside}</svg>'
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", css: str = "") -> str:
    """A piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def rectangle(x: float, y: float, width: float, height: float, colour: str, title: str) -> str:
    """A filled rectangle that says its value when pointed at."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
        f' fill="var(--{colour})"><title>{escape(title)}</title></rect>'
    )


def ticks(most: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to at least `most`."""
    step = 10 ** math.floor(math.log10(max(most, 1e-9) / count))
    step = next(step * factor for factor in (1, 2, 5, 10) if step * factor * count >= most)
    return [number * step for number in range(math.ceil(most / step - 1e-9) + 1)]


def log_ticks(least: float, most: float) -> list[float]:
    """1, 2, 5, 10, ... that enclose the range; only powers of ten where there would be more than eight."""
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    for factors in ((1, 2, 5), (1,)):
        all_of_them = [factor * 10.0**decade for decade in decades for factor in factors]
        start = max(number for number, at in enumerate(all_of_them) if at <= least)
        end = min((number for number, at in enumerate(all_of_them) if at >= most), default=len(all_of_them) - 1)
        if end - start < 8:
            break
    return all_of_them[start : end + 1]


def rate_plot(series: Sequence[Series], width: float) -> str:
    """Throughput against latency: p50 as a line through the loads, p99 dashed above it."""
    height = 300.0
    points = [point for each in series for point in each.points if point.latency]
    if not points:
        return "<p>No request was answered within a measured window.</p>"
    x_ticks = ticks(max(point.texts_per_s for point in points), 4 if width < 400 else 6)
    y_ticks = log_ticks(
        min(p.latency["p50"] for p in points), max(p.latency.get("p99", p.latency["p50"]) for p in points)
    )
    low, high = math.log(y_ticks[0]), math.log(y_ticks[-1] if len(y_ticks) > 1 else y_ticks[0] * 10)

    def x(value: float) -> float:
        return LEFT + value / x_ticks[-1] * (width - LEFT - RIGHT)

    def y(value: float) -> float:
        return height - BOTTOM - (math.log(value) - low) / (high - low) * (height - TOP - BOTTOM)

    marks = [*axes(x_ticks, y_ticks, x, y, width, height), text(LEFT - 6, 12, "ms", css="unit", anchor="end")]
    marks.append(text(width - RIGHT, height - 6, "texts/s", css="unit", anchor="end"))
    for each in series:
        marks += series_marks(each, x, y, width)
    return svg(width, height, "Throughput against latency", marks)


def axes(
    x_ticks: Sequence[float], y_ticks: Sequence[float], x: Scale, y: Scale, width: float, height: float
) -> Iterable[str]:
    """Grid lines with their numbers."""
    for value in x_ticks:
        yield line(x(value), TOP, x(value), height - BOTTOM, "grid")
        yield text(x(value), height - BOTTOM + 16, f"{value:,g}", anchor="middle")
    for value in y_ticks:
        yield line(LEFT, y(value), width - RIGHT, y(value), "grid")
        yield text(LEFT - 6, y(value) + 4, f"{value:,g}", anchor="end")


def series_marks(each: Series, x: Scale, y: Scale, width: float) -> Iterable[str]:
    """Both lines of a series, its points, and at each the load."""
    found = [point for point in each.points if point.latency]
    for quantile, css in (("p99", "dashed"), ("p50", "solid")):
        known = [point for point in found if quantile in point.latency]
        path = " ".join(f"{x(p.texts_per_s):.1f},{y(p.latency[quantile]):.1f}" for p in known)
        if each.closed and len(known) > 1:
            yield f'<polyline points="{path}" class="{css}" stroke="var(--{each.colour})"/>'
        for point in known:
            time = f"{quantile} {milliseconds(point.latency[quantile])} ms"
            title = f"{each.name}, {point.load.label}: {point.texts_per_s:,.1f} texts/s, {time}"
            yield mark(x(point.texts_per_s), y(point.latency[quantile]), each, quantile, title)
    for point in found:
        label = str(point.load.clients) if each.closed else point.load.label
        at = x(point.texts_per_s)
        inside = at + 8 + len(label) * CHARACTER < width
        yield text(at + (7 if inside else -7), y(point.latency["p50"]) + 13, label, anchor="start" if inside else "end")


def mark(x: float, y: float, each: Series, quantile: str, title: str) -> str:
    """A point: round for closed loops, square for open ones; p99 is hollow."""
    fill = f"var(--{each.colour})" if quantile == "p50" else "var(--paper)"
    style = f'fill="{fill}" stroke="var(--{each.colour})" class="mark"'
    if each.closed:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" {style}><title>{escape(title)}</title></circle>'
    return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" {style}><title>{escape(title)}</title></rect>'


def stage_plot(points: Sequence[Point], names: Sequence[str], width: float) -> str:
    """One bar a load, divided as the time of its average request is; the time itself at the right."""
    rows = [(name, point.split.stages) for name, point in zip(names, points, strict=True) if point.split]
    if not rows:
        return "<p>Triton counted no request of this model.</p>"
    row, bar, right = 40, 16, 74
    marks = []
    for number, (name, stages) in enumerate(rows):
        top, total, at = number * row, sum(stages.values()), 0.0
        marks.append(text(0, top + 13, name))
        marks.append(text(width, top + 13, f"{milliseconds(total)} ms", anchor="end", css="unit"))
        for stage in NAMES:
            share = stages.get(stage, 0.0) / total
            title = f"{name}: {stage} {milliseconds(stages.get(stage, 0.0))} ms ({share:.0%})"
            if share:
                marks.append(rectangle(at, top + 18, share * width - 1, bar, stage, title))
            if share * width > right / 2:
                marks.append(text(at + share * width / 2, top + 30, f"{share:.0%}", anchor="middle", css="on"))
            at += share * width
    return svg(width, len(rows) * row, "Where the time of an average request goes", marks)


def length_plot(lengths: Lengths, width: float) -> str:
    """Texts by tokens; the lengths that they are padded to as lines, or as ticks where there are many."""
    height = 240.0
    size, counts = histogram(lengths.tokens)
    y_ticks, most = ticks(max(counts), 4), len(counts) * size

    def x(value: float) -> float:
        return LEFT + value / most * (width - LEFT - RIGHT)

    def y(value: float) -> float:
        return height - BOTTOM - value / y_ticks[-1] * (height - TOP - BOTTOM)

    x_ticks = [value for value in ticks(most, 4 if width < 400 else 7) if value <= most]
    marks = list(axes(x_ticks, y_ticks, x, y, width, height))
    for number, count in enumerate(counts):
        title = f"{number * size + 1} to {(number + 1) * size} tokens: {count} texts"
        marks.append(
            rectangle(x(number * size), y(count), x(size) - LEFT - 1, height - BOTTOM - y(count), "bar", title)
        )
    edges = [bucket for bucket in lengths.buckets if bucket <= most]
    top = TOP if len(edges) <= 12 else height - BOTTOM - 7
    marks += [line(x(edge), top, x(edge), height - BOTTOM, "bucket") for edge in edges]
    mean = float(np.mean(lengths.tokens))
    marks.append(line(x(mean), TOP, x(mean), height - BOTTOM, "mean"))
    marks.append(text(min(x(mean) + 5, width - 80), TOP + 10, f"mean {mean:.1f}"))
    marks.append(text(LEFT - 6, 12, "texts", css="unit", anchor="end"))
    marks.append(text(width - RIGHT, height - 6, "tokens", css="unit", anchor="end"))
    return svg(width, height, "Texts by their number of tokens", marks)
