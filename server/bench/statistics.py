"""Triton's own statistics of its models: read before and after a load, and what lies between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tbgen.server.client.connection import Connection

_DURATIONS = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class ModelStatistics:
    """One model's counts, and its times in nanoseconds, summed over requests; `batch_` ones over executions.

    A request that a batch shares is charged the whole time of the batch: sums over requests give what a request waits
    for, sums over executions what the model is busy for.
    """

    rows: int = 0
    executions: int = 0
    requests: int = 0
    request_ns: int = 0
    failed: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    cache_hits: int = 0
    cache_hit_ns: int = 0
    batch_ns: int = 0
    batch_infer_ns: int = 0

    def __add__(self, other: ModelStatistics) -> ModelStatistics:
        return ModelStatistics(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: ModelStatistics) -> ModelStatistics:
        return ModelStatistics(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


Snapshot = dict[str, ModelStatistics]


def snapshot(connection: Connection) -> Snapshot:
    """The statistics of all models now, versions summed. Raises UserError."""
    found: Snapshot = {}
    for row in connection.statistics():
        found[row["name"]] = found.get(row["name"], ModelStatistics()) + statistics_from_json(row)
    return found


def statistics_from_json(row: Mapping[str, Any]) -> ModelStatistics:
    """One row of the statistics answer; over gRPC zeros are left out and numbers are strings."""
    times = row.get("inference_stats", {})
    batches = row.get("batch_stats", [])
    return ModelStatistics(
        rows=int(row.get("inference_count", 0)),
        executions=int(row.get("execution_count", 0)),
        requests=_number(times, "success", "count"),
        request_ns=_number(times, "success", "ns"),
        failed=_number(times, "fail", "count"),
        cache_hits=_number(times, "cache_hit", "count"),
        cache_hit_ns=_number(times, "cache_hit", "ns"),
        batch_ns=sum(_number(batch, part, "ns") for batch in batches for part in _DURATIONS[1:]),
        batch_infer_ns=sum(_number(batch, "compute_infer", "ns") for batch in batches),
        **{f"{part}_ns": _number(times, part, "ns") for part in _DURATIONS},
    )


def _number(values: Mapping[str, Any], part: str, key: str) -> int:
    """A count or a time that may be left out."""
    return int(values.get(part, {}).get(key, 0))


def snapshot_difference(before: Snapshot, after: Snapshot) -> Snapshot:
    added = {name: now - before.get(name, ModelStatistics()) for name, now in after.items()}
    return {name: change for name, change in added.items() if change.requests or change.failed or change.executions}
