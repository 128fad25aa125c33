"""One embedded server for all tests that only ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports
from tests.server import playground as play

ONE = "instance_group { kind: KIND_CPU count: 1 }"
WAIT = "dynamic_batching { max_queue_delay_microseconds: 200000 }"
PARAMETER = 'parameters {{ key: "{}" value {{ string_value: "{}" }} }}'
TWICE = 'output { name: "twice" data_type: TYPE_FP32 dims: 1 }'


def write_playground(repository: Path) -> None:
    """Every kind of model that the embedded server must serve."""
    one_thread = PARAMETER.format("intra_op_thread_count", 1)
    play.write_onnx(
        repository, "linear", play.linear(), f"max_batch_size: 16 {ONE} {WAIT} {one_thread} {play.LINEAR} {TWICE}"
    )
    play.write_onnx(repository, "bare", play.linear(), None)
    play.write_onnx(
        repository,
        "narrow",
        play.linear(),
        f'max_batch_size: 4 {ONE} input {{ name: "ids" data_type: TYPE_INT64 dims: 2 }}'
        ' input { name: "mask" data_type: TYPE_INT64 dims: 2 } ' + TWICE,
    )
    unused = PARAMETER.format("no_such_parameter", "x")
    play.write_onnx(
        repository,
        "fixed",
        play.linear(1, 4),
        f"{ONE} {PARAMETER.format('intra_op_thread_count', 4)} {unused}"
        ' default_model_filename: "other.onnx" optimization { execution_accelerators {'
        ' gpu_execution_accelerator: [ { name: "tensorrt" } ] } }'
        ' input { name: "ids" data_type: TYPE_INT64 dims: [1, 4] }'
        ' input { name: "mask" data_type: TYPE_INT64 dims: [1, 4] }'
        ' output { name: "outputs" data_type: TYPE_FP32 dims: [1, 3] }',
        file="other.onnx",
    )
    play.write_onnx(
        repository,
        "lookup",
        play.lookup(),
        f"max_batch_size: 8 {ONE} {WAIT} {one_thread}"
        ' input { name: "ids" data_type: TYPE_INT64 dims: -1 } output { name: "found" data_type: TYPE_FP32 dims: -1 }',
    )
    play.write_onnx(
        repository,
        "identity",
        play.identity(),
        f"max_batch_size: 8 {ONE} {WAIT} {one_thread}"
        ' input { name: "text" data_type: TYPE_STRING dims: -1 }'
        ' output { name: "same" data_type: TYPE_STRING dims: -1 }',
    )
    play.write_onnx(
        repository,
        "attention",
        play.attention(),
        f"max_batch_size: 32 {ONE} {one_thread}"
        ' input { name: "x" data_type: TYPE_FP32 dims: -1 } output { name: "mean" data_type: TYPE_FP32 dims: 1 }',
    )
    play.write_python(repository, "measure", f"max_batch_size: 4 {play.TEXT}")
    for name in ("demo_onnx_ensemble", "demo_onnx_bls", "solo_onnx_bls", "solo_big_onnx_bls"):
        play.write_front(repository, name, "measure")
    play.write_python(repository, "one_by_one", play.TEXT)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server on the playground."""
    folder = tmp_path_factory.mktemp("playground")
    write_playground(folder / "models")
    with server_on_free_ports(folder / "models", log=folder / "triton.log") as server:
        yield server
