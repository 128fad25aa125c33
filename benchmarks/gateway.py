"""What the gateway costs beside gRPC: sentences a second and latency of one model, asked both ways, interleaved."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.load import json_request, load
from benchmarks.models import scaffold_graphs
from benchmarks.table import Row, row_of
from benchmarks.texts import lines
from tbgen.server.bench.point import Load, Timing
from tbgen.server.bench.sweep import Plan, bench
from tbgen.server.bench.texts import Corpus
from tbgen.server.client.address import Address
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports

_LINES = 100
_SHAPES = ("tiny", "base")
_CLIENTS = (1, 16)
_WARM = 0.5
# What a body says beside its text: with tokens the gateway runs the tokenizer, too.
_WAYS = {"gateway": {}, "gateway with tokens": {"tokens": True}}


def rows(seconds: float, rounds: int) -> list[Row]:
    """For each shape and number of clients, the gateway's share of gRPC's sentences and its latency beside gRPC's."""
    return [row for shape in _SHAPES for row in _rows_of(shape, seconds, rounds)]


def _rows_of(shape: str, seconds: float, rounds: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        scaffold_graphs(shape, repository)
        with server_on_free_ports(repository) as server, _gateway(server) as place:
            rates, middles = (
                defaultdict[tuple[str, int], list[float]](list),
                defaultdict[tuple[str, int], list[float]](list),
            )
            for _ in range(rounds):
                for clients in _CLIENTS:
                    for way, (rate, middle) in _asked(server, place, f"{shape}_onnx_bls", clients, seconds).items():
                        rates[way, clients].append(rate)
                        middles[way, clients].append(middle)
    for clients in _CLIENTS:
        direct, beside = rates["gRPC", clients], middles["gRPC", clients]
        yield row_of(f"{shape}, {clients} clients: gRPC, sentences a second", direct)
        yield row_of(f"{shape}, {clients} clients: gRPC, p50 in ms", beside)
        for way in _WAYS:
            shares = [one / other for one, other in zip(rates[way, clients], direct, strict=True)]
            more = [one - other for one, other in zip(middles[way, clients], beside, strict=True)]
            yield row_of(f"{shape}, {clients} clients: {way}, share of gRPC's sentences", shares)
            yield row_of(f"{shape}, {clients} clients: {way}, p50 more in ms (gRPC {median(beside):.3g})", more)


def _asked(
    server: EmbeddedServer, place: str, model: str, clients: int, seconds: float
) -> dict[str, tuple[float, float]]:
    """Sentences a second and median latency in ms, each way, one after the other."""
    texts = lines(_LINES)
    plan = Plan([Load("grpc", clients)], Timing(seconds, _WARM), requests=len(texts))
    (point,) = bench([model], [Address(server.grpc_url, "grpc")], Corpus("lines", {}, texts), plan).points
    found = {"gRPC": (point.texts_per_s, point.latency["p50"])}
    for way, more in _WAYS.items():
        requests = [json_request(f"/models/{model}", {"input_text": text, **more}) for text in texts]
        said = load(place, requests, clients=clients, seconds=seconds, warmup=_WARM)
        found[way] = (said["answered"] / said["seconds"], said["p50_ms"])
    return found


@contextmanager
def _gateway(server: EmbeddedServer) -> Iterator[str]:
    """HOST:PORT of a gateway in a process of its own."""
    (port,) = free_ports(1)
    words = ["gateway", "--url", f"grpc://{server.grpc_url}", "--port", str(port), "-r", str(server.repository)]
    command = subprocess.Popen([sys.executable, "-m", "tbgen.cli.main", *words], stdout=subprocess.PIPE, text=True)
    try:
        assert command.stdout is not None
        command.stdout.readline()
        yield f"127.0.0.1:{port}"
    finally:
        command.send_signal(signal.SIGTERM)
        command.wait()
