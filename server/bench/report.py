"""A report as plain values for --json, and the sentences that the table and the page both show."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from tbgen.server.bench.padding import Lengths
from tbgen.server.bench.point import Point
from tbgen.server.bench.stages import NAMES
from tbgen.server.bench.sweep import ModelTexts, Report

_BINS = 30  # most bars of a length histogram
_QUIET = 0.3  # cores at work beside the benchmark that are not worth a word
_BUSY_WORKER = 0.8  # of one core: from here on a load process may be what limits
_LATE = 2.0  # milliseconds: from here on a schedule is not kept well


def json_from_report(report: Report) -> dict[str, Any]:
    """Everything that was measured; durations in milliseconds unless their name says otherwise."""
    plan = asdict(report.plan)
    return {
        "tbgen": report.tbgen,
        "triton": report.triton,
        "taken": report.taken,
        "machine": {"processor": report.processor, "cores": report.cores, "busy_before": report.busy_before},
        "corpus": report.corpus,
        "plan": {key: plan[key] for key in ("timing", "rounds", "batch", "requests", "tolerance", "workers")},
        "missing": report.missing,
        "texts": [_json_from_texts(texts) for texts in report.texts],
        "points": [_json_from_point(point) for point in report.points],
        "remarks": [sentence for _, sentence in remarks(report)],
    }


def _json_from_texts(texts: ModelTexts) -> dict[str, Any]:
    """The requests of one model; `tokens` is None when the tokenizer is not at hand."""
    return {
        "model": texts.model,
        "requests": texts.requests,
        "refused": dict(texts.refused),
        "mean_characters": float(np.mean(texts.characters)),
        "tokens": None if texts.lengths is None else _json_from_lengths(texts.lengths),
    }


def _json_from_lengths(lengths: Lengths) -> dict[str, Any]:
    """Token counts and their histogram: bars of equal width from 1 on."""
    width, bars = histogram(lengths.tokens)
    return {
        "mean": float(lengths.tokens.mean()),
        "p50": float(np.median(lengths.tokens)),
        "max": int(lengths.tokens.max()),
        "max_length": lengths.max_length,
        "truncated": lengths.truncated,
        "longest_untruncated": int(lengths.untruncated.max()),
        "buckets": list(lengths.buckets),
        "histogram": {"width": width, "texts": bars},
    }


def _json_from_point(point: Point) -> dict[str, Any]:
    values = asdict(point)
    load, split = values.pop("load"), values.pop("split")
    return {
        "model": values.pop("model"),
        "protocol": load["protocol"],
        "loop": "closed" if load["rate"] is None else "open",
        "clients": load["clients"] if load["rate"] is None else None,
        "rate": load["rate"],
        "poisson": load["poisson"],
        **values,
        "stages": split and split["stages"],
        "stages_estimated": bool(split and split["estimated"]),
        "generator_share": point.cpu.share,
    }


def histogram(lengths: Sequence[int] | np.ndarray) -> tuple[int, list[int]]:
    """The width of a bar and the number of texts in each: 1 to width, width + 1 to 2 x width, ..."""
    longest = int(np.max(lengths, initial=1))
    # 1, 2, 4, 8, ...: so that the edges of buckets of 8 fall between bars.
    width = next(size for size in (2**power for power in itertools.count()) if longest <= size * _BINS)
    counts = np.bincount((np.maximum(np.asarray(lengths), 1) - 1) // width)
    return width, counts.tolist()


def remarks(report: Report) -> list[tuple[str, str]]:
    """What a reader must know, each with its weight: "good", "note" or "bad"."""
    found = [("bad", f"{report.missing}; this is no whole report")] if report.missing else []
    found += [_verdict(report), *(remark for texts in report.texts for remark in _text_remarks(texts))]
    points = report.points
    use = max(points, key=lambda point: point.cpu.generator).cpu
    processes = "a load process" if use.busiest >= _BUSY_WORKER else "its busiest process"
    found.append(
        (
            "bad" if any(point.cpu.busiest >= _BUSY_WORKER for point in points) else "note",
            f"load generator: at most {use.generator:.2f} of {use.cores} cores ({use.share:.0%}), {processes}"
            f" {max(point.cpu.busiest for point in points):.0%} of one core"
            + ("; it may be what limits: give it more --workers" if use.busiest >= _BUSY_WORKER else ""),
        )
    )
    if report.busy_before > _QUIET:
        said = f"{report.busy_before:.1f} of {report.cores} cores were at work here before the load began"
        found.append(("bad", f"{said}: figures of a busy machine are worth little"))
    if stolen := max(point.cpu.stolen for point in points):
        found.append(("note", f"the host took up to {stolen:.2f} cores from this machine (steal)"))
    if late := max((point.late.get("p99", 0.0) for point in points), default=0.0):
        weight = "bad" if late > _LATE else "note"
        found.append((weight, f"open loop: 99 % of the requests left at most {late:.2f} ms after their intended time"))
    if foreign := sum(point.foreign for point in points):
        found.append(
            ("bad", f"others sent this server {foreign} requests meanwhile; statistics and times include them")
        )
    if any(point.split and point.split.estimated for point in points):
        found.append(("note", "the BLS has several engine calls in flight at once: the engine's share is an estimate"))
    return found


def _verdict(report: Report) -> tuple[str, str]:
    """Whether all answers were right."""
    answers = sum(point.answers for point in report.points)
    if not report.wrong:
        return ("good", f"all {answers} measured answers equal those of the same texts asked alone")
    failed = sum(sum(point.failed.values()) for point in report.points)
    changed = sum(sum(point.changed.values()) for point in report.points)
    refused = sum(sum(texts.refused.values()) for texts in report.texts)
    counts = {"failed": failed, "changed their answer under load": changed, "were refused when asked alone": refused}
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return ("bad", f"requests that went wrong: {said}; no time or rate below counts them")


def _text_remarks(texts: ModelTexts) -> Iterator[tuple[str, str]]:
    """Lengths, truncation and what is not known."""
    if texts.lengths is None:
        yield (
            "note",
            f"{texts.model}: {np.mean(texts.characters):.0f} characters a text; tokens, truncation and padding are not"
            " known without the server's model repository (--repository)",
        )
        return
    lengths = texts.lengths
    yield (
        "note",
        f"{texts.model}: {lengths.tokens.mean():.1f} tokens a text (median {np.median(lengths.tokens):.0f}, longest"
        f" {lengths.tokens.max()}), {_bucket_sentence(lengths.buckets)}",
    )
    if lengths.truncated:
        yield (
            "bad",
            f"{texts.model}: {lengths.truncated} of {len(lengths.tokens)} texts were cut to {lengths.max_length} tokens"
            f" (the longest has {lengths.untruncated.max()})",
        )


def _bucket_sentence(buckets: Sequence[int]) -> str:
    if not buckets:
        return "each at its own length"
    if len(buckets) == 1:
        return f"all padded to {buckets[0]}"
    shown = ", ".join(map(str, buckets[:3]))
    return f"buckets {shown}{', ...' if len(buckets) > 4 else ''}{', ' + str(buckets[-1]) if len(buckets) > 3 else ''}"


def wrong_sentences(point: Point) -> list[str]:
    return [
        f"{count} x {kind}: {sentence}"
        for kind, counts in (("failed", point.failed), ("changed", point.changed))
        for sentence, count in counts.items()
    ]


def padding_text(point: Point) -> str:
    """Padded tokens / real tokens - 1, for people."""
    if point.padding is None:
        return "unknown"
    return f"{'' if point.padding.exact else '≥ '}{point.padding.waste:.0%}"


def labels(points: Sequence[Point]) -> list[str]:
    """A name for each point: its load, and model and protocol where the points differ in them."""
    models, protocols = {point.model for point in points}, {point.load.protocol for point in points}
    return [
        " ".join(
            [
                *([point.model] if len(models) > 1 else []),
                *([point.load.protocol] if len(protocols) > 1 else []),
                point.load.label,
            ]
        )
        for point in points
    ]


def stage_rows(points: Sequence[Point]) -> list[list[str]]:
    """The stages that were seen and all together, then a row of milliseconds for each point."""
    seen = [stage for stage in NAMES if any(point.split and stage in point.split.stages for point in points)]
    rows = [[*seen, "together"]]
    for point in points:
        found = point.split.stages if point.split else {}
        together = sum(found.values()) if found else None
        rows.append([*(milliseconds(found.get(stage)) for stage in seen), milliseconds(together)])
    return rows


def wrong(point: Point) -> int:
    return sum(point.failed.values()) + sum(point.changed.values())


def milliseconds(value: float | None) -> str:
    """Three digits that say something: 0.42, 4.20, 42.0, 420."""
    if value is None:
        return "-"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"
