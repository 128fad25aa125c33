"""Served graphs beside the bare engine, interleaved in one run: answers first, then sentences a second as ratios."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from benchmarks.bare import engine_rate
from benchmarks.load import load, triton_requests
from benchmarks.models import export_of_shape, scaffold_graphs, set_step
from benchmarks.table import Row, row_of
from benchmarks.texts import lines
from tbgen.backends.engine import Engine
from tbgen.export.exported import Exported
from tbgen.generator.models.config import config_from_text, text_from_config
from tbgen.generator.models.graph import length_buckets
from tbgen.server.client.client import infer
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports

LINES = 400
THREADS = 2
TINY_BATCH = 8


@dataclass(frozen=True)
class Point:
    """A graph under `clients` closed-loop clients of one text, over bare sessions that get `group` texts at once."""

    graph: str
    clients: int
    target: float
    group: int = 1
    sessions: int = 1

    @property
    def bare(self) -> str:
        """What the bare loop does, in words."""
        group = f"groups of {self.group}" if self.group > 1 else "single"
        return group + ", two sessions" * (self.sessions - 1)


@dataclass
class Measured:
    """Sentences a second of a point and of its bare loop, a pair for each round; the latencies of the last round."""

    served: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    latency: dict[str, float] = field(default_factory=dict)


POINTS = {
    "base": [
        Point("bls", 1, 0.93),
        Point("ensemble", 1, 0.93),
        Point("bls", 16, 0.95, group=16),
        Point("bls", 64, 0.95, group=64),
        Point("ensemble", 16, 0.88, group=16),
        Point("single", 1, 0.93),
        Point("single", 16, 0.95, group=16),
        Point("single", 64, 0.95, group=64),
    ],
    "tiny": [Point(graph, 32, 0.55, sessions=2) for graph in ("bls", "ensemble", "single")],
}


def rows(shape: str, *, seconds: float, rounds: int) -> list[Row]:
    """A row for each point of a shape: the median over rounds of served / bare."""
    exported, texts = export_of_shape(shape), lines(LINES)
    batches = {point.group: micro_batches(exported, texts, point.group) for point in POINTS[shape]}
    measured = {point: Measured() for point in POINTS[shape]}
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder)
        scaffold_graphs(shape, repository)
        if shape == "tiny":  # what tbgen tune turns: one thread is enough for such an engine
            one_thread_each(repository / "tiny_onnx_single", THREADS, batch=TINY_BATCH)
        with server_on_free_ports(repository) as server:
            check_answers(shape, server, texts[:64])
            for _ in range(rounds):
                for point, record in measured.items():
                    requests = triton_requests(f"{shape}_onnx_{point.graph}", [[text] for text in texts])
                    found = load(server.http_url, requests, clients=point.clients, seconds=seconds, warmup=2)
                    record.latency = found
                    record.served.append(found["answered"] / found["seconds"])
                    sessions = {"threads": THREADS // point.sessions, "sessions": point.sessions}
                    bare = engine_rate(exported.model, batches[point.group], **sessions, seconds=seconds)
                    record.bare.append(bare)
    return [point_row(shape, point, record) for point, record in measured.items()]


def one_thread_each(model: Path, instances: int, batch: int) -> None:
    """Have a model that runs its engine itself do so in as many instances, of one thread and `batch` texts each."""
    set_step(model, "LocalEngine", threads=1)
    config = config_from_text((model / "config.pbtxt").read_text("utf-8"))
    config.instance_group[0].count = instances
    config.dynamic_batching.preferred_batch_size[:] = [batch]
    (model / "config.pbtxt").write_text(text_from_config(config), encoding="utf-8")


def check_answers(name: str, server: EmbeddedServer, texts: Sequence[str]) -> None:
    """All graphs must answer alike before anything is timed."""
    first, *others = (
        np.array([answer["softmax"] for answer in infer(f"{name}_onnx_{graph}", texts, url=server.grpc_url)])
        for graph in ("ensemble", "bls", "single")
    )
    for other in others:
        np.testing.assert_allclose(first, other, atol=1e-5)


def micro_batches(exported: Exported, texts: Sequence[str], group: int) -> list[np.ndarray]:
    """Token ids of `texts`, each `group` of them cut into its best micro-batches: (rows, length) arrays."""
    encodings = Tokenizer.from_file(str(exported.tokenizer)).encode_batch(list(texts))
    ids = [encoding.ids[: exported.max_length] for encoding in encodings]
    step = Engine(Path(), model="", inputs={}, outputs={}, max_batch_size=32, buckets=length_buckets(exported))
    batches = []
    for start in range(0, len(ids), group):
        rows_ = sorted(ids[start : start + group], key=len, reverse=True)
        lengths = [len(row) for row in rows_]
        widths = [step.bucket(length) for length in lengths]
        batches += [padded(rows_[a:b], widths[a]) for a, b in pairwise(step.cuts(widths, lengths))]
    return batches


def padded(ids: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """(rows, width) array of int64, zeros behind each row."""
    array = np.zeros((len(ids), width), dtype=np.int64)
    for row, values in zip(array, ids, strict=True):
        row[: len(values)] = values
    return array


def point_row(shape: str, point: Point, record: Measured) -> Row:
    latency = f"p50 {record.latency['p50_ms']:.1f} ms, p99 {record.latency['p99_ms']:.1f} ms"
    graph = f"{shape}, {point.graph}, {point.clients} clients, over the bare loop ({point.bare})"
    what = f"{graph}; {statistics.median(record.served):.1f}/s, {latency}"
    ratios = [served / bare for served, bare in zip(record.served, record.bare, strict=True)]
    return row_of(what, ratios, least=point.target)
