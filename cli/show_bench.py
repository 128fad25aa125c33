"""A benchmark's report in the terminal: rates, stages, models; then what a reader must know."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from tbgen.cli.show import output
from tbgen.server.bench.gpu import gpu_text
from tbgen.server.bench.point import Point
from tbgen.server.bench.report import labels, milliseconds, padding_text, remarks, stage_rows, wrong, wrong_sentences
from tbgen.server.bench.stages import TITLE
from tbgen.server.bench.sweep import Report

_COLOURS = {"good": "green", "note": "", "bad": "bold red"}


def print_report(report: Report) -> None:
    """Rates, stages and models, then remarks."""
    out = output()
    out.print(f"Triton {report.triton}, {report.processor}, {report.cores} cores", style="dim")
    for model, protocol in dict.fromkeys((point.model, point.load.protocol) for point in report.points):
        points = [point for point in report.points if (point.model, point.load.protocol) == (model, protocol)]
        out.print(f"\n{model} over {protocol}, texts of {report.corpus}", style="bold")
        for table in (rates(points), _stages(points), _batches(points)):
            out.print(table)
    for weight, sentence in remarks(report):
        out.print(Text(f"- {sentence}", style=_COLOURS[weight]))
    _print_wrong(report)


def _print_wrong(report: Report) -> None:
    """Print what was refused, failed or changed, with counts."""
    refused = [f"{count} x refused: {sentence}" for texts in report.texts for sentence, count in texts.refused.items()]
    points = zip(labels(report.points), report.points, strict=True)
    gone = [f"{name}: {sentence}" for name, point in points for sentence in wrong_sentences(point)]
    for sentence in (*refused, *gone):
        output().print(Text(f"  {sentence}", style=_COLOURS["bad"]))


def table_of_numbers(title: str, *columns: str, model: bool = False) -> Table:
    """A table whose first column is the load, with `model` the second the model; the others are numbers."""
    made = Table(
        title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for name in ("load", "model") if model else ("load",):
        made.add_column(name, no_wrap=True)
    for column in columns:
        made.add_column(column, justify="right", no_wrap=True)
    return made


def rates(points: Sequence[Point]) -> Table:
    """What the clients saw."""
    several, on_gpu = any(point.rounds for point in points), any(point.gpu for point in points)
    made = table_of_numbers(
        "Rates; latencies in ms; wrong answers; padding; CPU share of the load",
        *("texts/s", *(["rounds"] if several else []), "p50", "p95", "p99", "max", "wrong", "padding", "load"),
        *(["GPU"] if on_gpu else []),
    )
    for point in points:
        latency = [milliseconds(point.latency.get(key)) for key in ("p50", "p95", "p99", "max")]
        gone = Text(str(wrong(point)), style=_COLOURS["bad"] if wrong(point) else "")
        rounds = [_rounds_text(point)] if several else []
        rate = f"{point.texts_per_s:,.1f}"
        gpu = [gpu_text(point.gpu)] if on_gpu else []
        made.add_row(
            point.load.label, rate, *rounds, *latency, gone, padding_text(point), f"{point.cpu.share:.0%}", *gpu
        )
    return made


def _rounds_text(point: Point) -> str:
    """The lowest and highest rate of the rounds."""
    return f"{min(point.rounds):,.0f}-{max(point.rounds):,.0f}" if point.rounds else "-"


def _stages(points: Sequence[Point]) -> Table:
    """Where the time of an average request goes."""
    head, *rows = stage_rows(points)
    made = table_of_numbers(f"{TITLE}, in ms", *head)
    for point, row in zip(points, rows, strict=True):
        made.add_row(point.load.label, *row)
    return made


def _batches(points: Sequence[Point]) -> Table:
    """For each model: texts an execution, and how busy its instances are."""
    made = table_of_numbers("Of each model", "texts an execution", "instances", "busy", model=True)
    for point in points:
        load = point.load.label
        for part in (part for part in point.models if part.role != "ensemble"):
            made.add_row(load, part.model, f"{part.average_batch:.2f}", str(part.instances), f"{part.busy_share:.0%}")
            load = ""
    return made
