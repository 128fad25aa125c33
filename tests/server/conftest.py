"""One embedded server for all tests that only ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tbgen.server.embedded.server import EmbeddedServer
from tests.server import playground as play
from tests.serving import serving

ONE = "instance_group { kind: KIND_CPU count: 1 }"
# Waits until so many rows are there: requests that are sent together share a run, however slowly they come.
JOINED = "dynamic_batching {{ preferred_batch_size: {} max_queue_delay_microseconds: 300000000 }}"
PARAMETER = 'parameters {{ key: "{}" value {{ string_value: "{}" }} }}'
ONE_THREAD = PARAMETER.format("intra_op_thread_count", 1)
TENSOR = '{} {{ name: "{}" data_type: TYPE_{} dims: {} }} '
TWICE = TENSOR.format("output", "twice", "FP32", 1)
FIXED = (
    f"{ONE} {PARAMETER.format('intra_op_thread_count', 4)} {PARAMETER.format('no_such_parameter', 'x')}"
    ' default_model_filename: "other.onnx"'
    ' optimization { execution_accelerators { gpu_execution_accelerator: [ { name: "tensorrt" } ] } } '
    + TENSOR.format("input", "ids", "INT64", "[1, 4]")
    + TENSOR.format("input", "mask", "INT64", "[1, 4]")
    + TENSOR.format("output", "outputs", "FP32", "[1, 3]")
)


def rows(most: int, *more: str) -> str:
    """A configuration of batches of at most so many rows, of one instance."""
    return f"max_batch_size: {most} {ONE} {' '.join(more)} "


ENGINES: dict[str, tuple[play.Graph, str | None]] = {
    "linear": (play.linear, rows(16, ONE_THREAD, play.LINEAR, TWICE)),
    "joined": (play.linear, rows(16, JOINED.format(10), ONE_THREAD, play.LINEAR, TWICE)),
    "bare": (play.linear, None),
    "narrow": (
        play.linear,
        rows(4) + TENSOR.format("input", "ids", "INT64", 2) + TENSOR.format("input", "mask", "INT64", 2) + TWICE,
    ),
    "lookup": (
        play.lookup,
        rows(8, JOINED.format(4), ONE_THREAD)
        + TENSOR.format("input", "ids", "INT64", -1)
        + TENSOR.format("output", "found", "FP32", -1),
    ),
    "identity": (
        play.identity,
        rows(8, JOINED.format(2), ONE_THREAD)
        + TENSOR.format("input", "text", "STRING", -1)
        + TENSOR.format("output", "same", "STRING", -1),
    ),
    "marked": (
        play.marked,
        rows(4)
        + "sequence_batching { control_input { name: 'START' control { fp32_false_true: [ 0, 100 ] } } }"
        + TENSOR.format("input", "x", "FP32", 1)
        + TENSOR.format("output", "marked", "FP32", 1),
    ),
    "attention": (
        play.attention,
        rows(32, ONE_THREAD) + TENSOR.format("input", "x", "FP32", -1) + TENSOR.format("output", "mean", "FP32", 1),
    ),
}


def write_playground(repository: Path) -> None:
    """Every kind of model that the embedded server must serve."""
    for name, (graph, config) in ENGINES.items():
        play.write_onnx(repository, name, graph(), config)
    play.write_onnx(repository, "fixed", play.linear(1, 4), FIXED, file="other.onnx")
    play.write_python(repository, "measure", f"max_batch_size: 4 {play.TEXT}")
    for name in ("demo_onnx_ensemble", "demo_onnx_bls", "solo_onnx_bls", "solo_big_onnx_bls"):
        play.write_front(repository, name, "measure")
    play.write_python(repository, "one_by_one", play.TEXT)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server on the playground."""
    folder = tmp_path_factory.mktemp("playground")
    write_playground(folder / "models")
    with serving(folder / "models", log=folder / "triton.log") as server:
        yield server
