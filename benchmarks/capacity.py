"""`make capacity`: what `tbgen capacity` simulates of a replica beside open loops on it, at two rates.

`python -m benchmarks.capacity base bls --seconds 5` picks a shape and graph. `sleeping` has runs that sleep and do not
compute, so that its figures are those of the queue alone, on a busy machine too.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from benchmarks.models import SHAPES, scaffold_graphs
from benchmarks.table import Row, row_of, show
from benchmarks.texts import lines
from tbgen.generator.texts import TextFile
from tbgen.server.bench.texts import corpus_from_file
from tbgen.server.capacity.measurement import ReplicaBench
from tbgen.server.capacity.report import assumptions, checks_of
from tbgen.server.capacity.sizing import Sizing
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import server_on_free_ports

SLEEPER = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        texts = [pb_utils.get_input_tensor_by_name(each, "input_text").as_numpy() for each in requests]
        time.sleep(0.02 + 0.003 * len(texts) + 0.0002 * sum(len(text.item().decode()) for text in texts))
        return [pb_utils.InferenceResponse([pb_utils.Tensor("said", text)]) for text in texts]
"""
SLEEPING = """
backend: "python" max_batch_size: 128 instance_group { kind: KIND_CPU count: 1 } dynamic_batching { }
input { name: "input_text" data_type: TYPE_STRING dims: 1 }
output { name: "said" data_type: TYPE_STRING dims: 1 }
"""


@click.command()
@click.argument("shape", type=click.Choice([*SHAPES, "sleeping"]), default="sleeping")
@click.argument("graph", type=click.Choice(["bls", "ensemble", "single"]), default="bls")
@click.option("--seconds", default=4.0, show_default=True, help="Of a point; an open loop has eight times as many.")
def main(shape: str, graph: str, seconds: float) -> None:
    """Measure a replica of a shape and graph, and hold its simulation against open loops."""
    with tempfile.TemporaryDirectory() as folder:
        repository, texts = Path(folder) / "models", Path(folder) / "lines.txt"
        texts.write_text("\n".join(lines(400)), encoding="utf-8")
        name = "sleeping" if shape == "sleeping" else f"{shape}_onnx_{graph}"
        write_sleeping(repository) if shape == "sleeping" else scaffold_graphs(shape, repository)
        with server_on_free_ports(repository) as server, Connection(f"http://{server.http_url}") as connection:
            corpus = corpus_from_file(TextFile(texts))
            bench = ReplicaBench(connection, name, corpus, seconds, repository, lambda *_: None)
            measured = bench.measured()
            for run in measured.runs:
                off = measured.replica.cost.error(run)
                print(
                    f"{run.requests:6.2f} requests, {run.tokens:7.1f} tokens: {run.seconds * 1000:8.2f} ms, {off:+.0%}"
                )
            print("\n".join(assumptions(measured)))
            sizing = Sizing(measured.replica, measured.texts)
            show(f"{name}: {sizing.capacity:.1f} requests/s at most", rows_of(bench, sizing))


def write_sleeping(repository: Path) -> None:
    """A model whose runs sleep 20 ms, 3 ms for each request and 0.2 ms for each character."""
    (repository / "sleeping" / "1").mkdir(parents=True)
    (repository / "sleeping" / "config.pbtxt").write_text(SLEEPING, encoding="utf-8")
    (repository / "sleeping" / "1" / "model.py").write_text(SLEEPER, encoding="utf-8")


def rows_of(bench: ReplicaBench, sizing: Sizing) -> list[Row]:
    """What was simulated over what was measured, for each rate."""
    rows = []
    for check in checks_of(bench, sizing):
        for what in ("p50", "p99", "busy"):
            measured, simulated = (getattr(waiting, what) for waiting in (check.measured, check.simulated))
            spread = f"{simulated:.4f} of {measured:.4f}, {check.answers} answers, {check.unanswered} not"
            spread += ", most loops {:.4f} to {:.4f}".format(*check.spread) if what == "p99" else ""
            rows.append(row_of(f"{what} at {check.rate:.1f}/s, over measured", [simulated / measured], spread=spread))
    return rows


if __name__ == "__main__":
    sys.exit(main())
