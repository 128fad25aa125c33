"""Served graphs beside the bare engine, interleaved in one run: answers first, then sentences a second as ratios."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.limit import Limit, limit_of
from benchmarks.load import load, triton_requests
from benchmarks.models import ENGINES, export_of_shape, scaffold_graphs, set_step
from benchmarks.table import Row, row_of
from benchmarks.texts import lines
from tbgen.export.layout import PACKED, PADDED
from tbgen.generator.models.config import config_from_text, text_from_config
from tbgen.server.client.client import infer
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports

LINES = 400
THREADS = 2
TINY_BATCH = 8
WARM_SECONDS = 2.0


@dataclass(frozen=True)
class Point:
    """A graph under `clients` closed-loop clients of one text, and the least share of the bare loop."""

    graph: str
    clients: int
    target: float


@dataclass(frozen=True)
class Served:
    """The points of a shape at a precision, over bare sessions side by side that have all cores together."""

    shape: str
    points: tuple[Point, ...]
    precision: str = "fp32"
    sessions: int = 1

    def limit(self, clients: int, texts: Sequence[str]) -> Limit:
        """The bare loops over as many texts at once as there are clients for each session."""
        exports = [export_of_shape(self.shape, layout, self.precision) for layout in (PACKED, PADDED)]
        sessions = {"threads": THREADS // self.sessions, "sessions": self.sessions}
        return limit_of(*exports, texts, max(1, clients // self.sessions), **sessions)


@dataclass
class Measured:
    """Sentences a second of a point and of the bare loops, an element for each round; the last round's latencies."""

    served: list[float] = field(default_factory=list)
    packed: list[float] = field(default_factory=list)
    padded: list[float] = field(default_factory=list)
    latency: dict[str, float] = field(default_factory=dict)


LARGE = (
    Point("bls", 1, 0.93),
    Point("ensemble", 1, 0.9),
    Point("single", 1, 0.93),
    Point("bls", 16, 0.95),
    Point("ensemble", 16, 0.9),
    Point("single", 16, 0.95),
    Point("bls", 64, 0.95),
    Point("ensemble", 64, 0.9),
    Point("single", 64, 0.95),
)
STORIES = {
    "base": Served("base", LARGE),
    "int8": Served("base", LARGE, precision="int8"),
    "tiny": Served("tiny", tuple(Point(graph, 32, 0.55) for graph in ("bls", "ensemble", "single")), sessions=2),
}
NEAR = {"fp32": 1e-5, "int8": 1e-5}


def rows(name: str, *, seconds: float, rounds: int) -> list[Row]:
    """A row for each point of a story: the median over rounds of served / bare, packed, and padded beside it."""
    story, texts = STORIES[name], lines(LINES)
    models = f"{story.shape}_{ENGINES[story.precision]}"
    limits = {clients: story.limit(clients, texts) for clients in sorted({point.clients for point in story.points})}
    measured = {point: Measured() for point in story.points}
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder)
        scaffold_graphs(story.shape, repository, story.precision)
        if story.shape == "tiny":  # what tbgen tune turns: one thread is enough for such an engine
            one_thread_each(repository / f"{models}_single", THREADS, batch=TINY_BATCH)
        with server_on_free_ports(repository) as server:
            check_answers(models, server, texts[:64], NEAR[story.precision])
            requests = {
                point: triton_requests(f"{models}_{point.graph}", [[text] for text in texts]) for point in measured
            }
            for _ in range(rounds):
                padded = {clients: limit.padded(seconds=seconds) for clients, limit in limits.items()}
                for point, record in measured.items():
                    clients = point.clients
                    found = load(
                        server.http_url, requests[point], clients=clients, seconds=seconds, warmup=WARM_SECONDS
                    )
                    record.latency = found
                    record.served.append(found["answered"] / found["seconds"])
                    record.packed.append(limits[clients].packed(seconds=seconds))
                    record.padded.append(padded[clients])
    return [point_row(name, point, record, limits[point.clients]) for point, record in measured.items()]


def one_thread_each(model: Path, instances: int, batch: int) -> None:
    """Have a model that runs its engine itself do so in as many instances, of one thread and `batch` texts each."""
    set_step(model, "LocalEngine", threads=1)
    config = config_from_text((model / "config.pbtxt").read_text("utf-8"))
    config.instance_group[0].count = instances
    config.dynamic_batching.preferred_batch_size[:] = [batch]
    (model / "config.pbtxt").write_text(text_from_config(config), encoding="utf-8")


def check_answers(name: str, server: EmbeddedServer, texts: Sequence[str], near: float) -> None:
    """All graphs must answer alike before anything is timed."""
    first, *others = (
        np.array([answer["softmax"] for answer in infer(f"{name}_{graph}", texts, url=server.grpc_url)])
        for graph in ("ensemble", "bls", "single")
    )
    for other in others:
        np.testing.assert_allclose(first, other, atol=near)


def point_row(story: str, point: Point, record: Measured, limit: Limit) -> Row:
    """A point's ratios, its limit in words."""
    cut = f"groups of {limit.group}, {limit.budget} tokens a call" if limit.group > 1 else "text by text"
    latency = f"p50 {record.latency['p50_ms']:.1f} ms, p99 {record.latency['p99_ms']:.1f} ms"
    graph = f"{story}, {point.graph}, {point.clients} clients, over the bare packed loop ({cut})"
    what = f"{graph}; {statistics.median(record.served):.1f}/s, {latency}"
    padded = statistics.median(over(record.served, record.padded))
    return row_of(what, over(record.served, record.packed), least=point.target, padded=padded)


def over(served: Sequence[float], bare: Sequence[float]) -> list[float]:
    """The ratio of each round."""
    return [each / limit for each, limit in zip(served, bare, strict=True)]
