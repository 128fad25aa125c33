"""The plots of a report as inline SVG, drawn by matplotlib: throughput against latency, stages, lengths with buckets.

Each plot is drawn for a given width in pixels: text stays legible on a phone because a phone gets a narrower drawing,
not a scaled one. Colours become CSS variables of the page, so that a plot follows its light or dark scheme.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

import numpy as np

from tbgen.export.errors import require
from tbgen.server.bench.padding import Lengths
from tbgen.server.bench.point import Point
from tbgen.server.bench.report import histogram, milliseconds
from tbgen.server.bench.stages import NAMES, TITLE

# A variable of the page's style -> the colour that stands for it until the drawing is text.
_SERIES = ("s0", "s1", "s2", "s3", "s4", "s5")
_VARIABLES = ("ink", "soft", "grid", "paper", "bad", "bar", "on", *_SERIES, *NAMES)
_COLOURS = {name: f"#0000{number:02x}" for number, name in enumerate(_VARIABLES)}
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tbgen",
    "text.parse_math": False,  # names are data, those with $ too
    "font.size": 12,
    "text.color": _COLOURS["ink"],
    "axes.labelcolor": _COLOURS["soft"],
    "axes.edgecolor": _COLOURS["grid"],
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _COLOURS["grid"],
    "xtick.color": _COLOURS["grid"],
    "ytick.color": _COLOURS["grid"],
    "xtick.labelcolor": _COLOURS["ink"],
    "ytick.labelcolor": _COLOURS["ink"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@dataclass(frozen=True)
class Series:
    """Points of one model over one protocol, closed or open loop, in the order of their load."""

    name: str
    colour: str
    closed: bool
    points: Sequence[Point]


def series_from_points(points: Sequence[Point]) -> list[Series]:
    """One series for each model, protocol and kind of loop; their names leave out what all have in common."""
    keys = dict.fromkeys((point.model, point.load.protocol, point.load.rate is None) for point in points)
    models, protocols = {key[0] for key in keys}, {key[1] for key in keys}
    series = []
    for number, (model, protocol, closed) in enumerate(keys):
        words = [*([model] if len(models) > 1 else []), *([protocol] if len(protocols) > 1 else [])]
        found = [p for p in points if (p.model, p.load.protocol, p.load.rate is None) == (model, protocol, closed)]
        name = " ".join([*words, "closed loop" if closed else "open loop"])
        series.append(Series(name, _SERIES[number % len(_SERIES)], closed, found))
    return series


def _canvas(width: float, height: float, x: str, y: str) -> tuple[Any, Any]:
    """A figure of that many pixels, and its axes with the names of their units."""
    figures = require("matplotlib.figure", extra="report")
    figure = figures.Figure((width / 72, height / 72), 72, layout="constrained")
    return figure, figure.add_subplot(xlabel=x, ylabel=y)


def _svg(figure: Any, label: str) -> str:
    """The drawing, with a text for those who cannot see it."""
    text = StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    _, _, drawn = text.getvalue().partition("<svg ")
    size = re.search(r'viewBox="[^"]*"', drawn)
    assert size
    inside = drawn[drawn.index(">") + 1 :].replace("xlink:href", "href")
    for name, colour in _COLOURS.items():
        inside = inside.replace(colour, f"var(--{name})")
    return f'<svg {size[0]} role="img" aria-label="{escape(label)}">{inside}'


def rate_plot(series: Sequence[Series], width: float) -> str:
    """Throughput against latency: p50 as a line through the loads, p99 dashed above it."""
    if not any(point.latency for each in series for point in each.points):
        return "<p>No request was answered within a measured window.</p>"
    figure, axes = _canvas(width, 300, "texts/s", "ms")
    for each in series:
        found, colour = [point for point in each.points if point.latency], _COLOURS[each.colour]
        for quantile, dashes, fill in (("p99", "--", _COLOURS["paper"]), ("p50", "-", colour)):
            known = [point for point in found if quantile in point.latency]
            axes.plot(
                [point.texts_per_s for point in known],
                [point.latency[quantile] for point in known],
                dashes if each.closed else "",
                marker="o" if each.closed else "s",
                color=colour,
                markerfacecolor=fill,
            )
        for point in found:
            words = str(point.load.clients) if each.closed else point.load.label
            axes.annotate(words, (point.texts_per_s, point.latency["p50"]), (5, -13), textcoords="offset points")
    axes.set(yscale="log", xlim=(0, None))
    axes.yaxis.set_major_locator(require("matplotlib.ticker", extra="report").LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.margins(y=0.15)
    return _svg(figure, "Throughput against latency")


def stage_plot(points: Sequence[Point], names: Sequence[str], width: float) -> str:
    """One bar a load, divided as the time of its average request is; the time itself above its end."""
    rows = [(name, point.split.stages) for name, point in zip(names, points, strict=True) if point.split]
    if not rows:
        return "<p>Triton counted no request of this model.</p>"
    figure, axes = _canvas(width, 40 * len(rows) + 12, "", "")
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.3, -0.7))
    axes.set_axis_off()
    for row, (name, stages) in enumerate(rows):
        total, at = sum(stages.values()), 0.0
        axes.text(0, row - 0.32, name)
        axes.text(1, row - 0.32, f"{milliseconds(total)} ms", ha="right", color=_COLOURS["soft"])
        for stage in NAMES:
            share = stages.get(stage, 0.0) / total
            axes.barh(row, share, 0.4, at, color=_COLOURS[stage])
            if share * width > 37:
                axes.text(at + share / 2, row, f"{share:.0%}", ha="center", va="center", size=11, color=_COLOURS["on"])
            at += share
    return _svg(figure, TITLE)


def length_plot(lengths: Lengths, width: float) -> str:
    """Texts by tokens; the lengths that they are padded to as lines, or as ticks where there are many."""
    size, counts = histogram(lengths.tokens)
    figure, axes = _canvas(width, 240, "tokens", "texts")
    axes.bar(np.arange(len(counts)) * size, counts, 0.95 * size, align="edge", color=_COLOURS["bar"])
    edges = [bucket for bucket in lengths.buckets if bucket <= len(counts) * size]
    for edge in edges:
        axes.axvline(edge, ymax=1 if len(edges) <= 12 else 0.04, color=_COLOURS["soft"], linewidth=0.8)
    mean = float(np.mean(lengths.tokens))
    axes.axvline(mean, color=_COLOURS["bad"])
    axes.annotate(
        f"mean {mean:.1f}", (mean, 1), (5, -12), xycoords=("data", "axes fraction"), textcoords="offset points"
    )
    axes.set_xlim(0, len(counts) * size)
    return _svg(figure, "Texts by their number of tokens")
