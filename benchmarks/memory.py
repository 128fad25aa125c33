"""Memory of a server over many requests of ever new lengths: resident and shared, and how fast they grow."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.load import load, triton_requests
from benchmarks.models import scaffold_graphs
from benchmarks.table import Row, row_of
from benchmarks.texts import lines
from tbgen.server.client.client import infer
from tbgen.server.embedded.memory import memory_of
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports

LINES, CLIENTS, SECONDS = 4000, 32, 10
GRAPHS = ("bls", "ensemble", "single")
SETTLED = 0.25  # of the requests; what comes later is growth
BOUND = 0.01  # of the size, for 100,000 requests: what a least-squares line may rise


@dataclass(frozen=True)
class Sample:
    """After so many requests: MB resident in the server's processes, MB of shared memory."""

    requests: int
    resident: float
    shared: float


def rows(shape: str = "tiny", *, requests: int = 200_000) -> list[Row]:
    """How much memory grows over `requests`, once the largest batch that there can be has been served."""
    with tempfile.TemporaryDirectory() as folder:
        scaffold_graphs(shape, Path(folder))
        asked = [triton_requests(f"{shape}_onnx_{graph}", [[text] for text in lines(LINES)]) for graph in GRAPHS]
        with server_on_free_ports(Path(folder)) as server:
            serve_largest(shape, server)
            samples = sampled(server, asked, requests)
    return [growth_row(shape, kind, samples) for kind in ("resident", "shared")]


def serve_largest(shape: str, server: EmbeddedServer) -> None:
    """Let every part see the most that it can be given at once: memory pools keep what the largest run took."""
    longest = [max(lines(LINES), key=len) * 4] * 32
    for graph in GRAPHS:
        infer(f"{shape}_onnx_{graph}", longest * 4, url=server.grpc_url)


def sampled(server: EmbeddedServer, asked: list[list[bytes]], requests: int) -> list[Sample]:
    """Memory every few seconds, the graphs asked in turn, until so many requests are answered."""
    answered, samples = 0, list[Sample]()
    while answered < requests:
        found = load(server.http_url, asked[len(samples) % len(asked)], clients=CLIENTS, seconds=SECONDS, warmup=0)
        answered += found["answered"]
        samples.append(sample(server, answered))
    return samples


def sample(server: EmbeddedServer, answered: int) -> Sample:
    """The memory of the server's process and all its children, and of the shared memory that they have mapped."""
    assert server.process
    taken = memory_of(server.process.pid)
    return Sample(answered, taken.resident / 2**20, taken.shared / 2**20)


def growth_row(shape: str, kind: str, samples: list[Sample]) -> Row:
    """The slope of a line through the later samples, for 100,000 requests, over the memory at the end."""
    later = [each for each in samples if each.requests >= SETTLED * samples[-1].requests]
    sizes = [getattr(each, kind) for each in later]
    slope, _ = np.polyfit([each.requests for each in later], sizes, 1)
    what = f"{shape}, {samples[-1].requests} requests: growth of {kind} memory per 100,000, over its {sizes[-1]:.1f} MB"
    spread = f"{sizes[0]:.1f} to {sizes[-1]:.1f} MB"
    return row_of(what, [float(slope * 1e5 / sizes[-1])], most=BOUND, spread=spread)
