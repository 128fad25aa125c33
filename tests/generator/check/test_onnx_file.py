"""Reading an ONNX file without its weights, held against the package onnx."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tbgen.export.files import sha256
from tbgen.generator.check.onnx_file import NotOnnx, OnnxTensor, read_onnx
from tbgen.generator.data_types import FROM_ONNX_NUMBER
from tests.triton.good_models import save_graph


def test_it_says_what_onnx_says(sample_repository: Path) -> None:
    file = sample_repository / "kcbert_onnx" / "1" / "model.onnx"
    ours, theirs = read_onnx(file), onnx.load(file)
    assert ours.ir == theirs.ir_version
    assert ours.opsets == {row.domain: row.version for row in theirs.opset_import}
    assert ours.initializers == {row.name: tuple(row.dims) for row in theirs.graph.initializer}
    assert ours.external == {}
    assert ours.inputs == {row.name: tensor_of(row) for row in theirs.graph.input}
    assert ours.outputs == {row.name: tensor_of(row) for row in theirs.graph.output}


def tensor_of(row: onnx.ValueInfoProto) -> OnnxTensor:
    sizes = row.type.tensor_type.shape.dim
    shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in sizes)
    axes = frozenset(size.dim_param for size in sizes if size.dim_param)
    return OnnxTensor(FROM_ONNX_NUMBER[row.type.tensor_type.elem_type], shape, axes)


def test_scalars_open_axes_and_types(tmp_path: Path) -> None:
    names = {"scalar": [], "open": [None, 3], "named": ["batch", "length"]}
    values = [helper.make_tensor_value_info(name, TensorProto.STRING, shape) for name, shape in names.items()]
    sequence = helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, [1])
    graph = helper.make_graph([], "g", [*values, sequence], values)
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    assert read_onnx(tmp_path / "m.onnx").inputs == {
        "scalar": OnnxTensor("TYPE_STRING", ()),
        "open": OnnxTensor("TYPE_STRING", (-1, 3)),
        "named": OnnxTensor("TYPE_STRING", (-1, -1), frozenset({"batch", "length"})),
        "many": OnnxTensor("ONNX_TYPE_SEQUENCE", ()),
    }


def test_an_input_with_a_weight_is_not_required(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "bias")]
    weight = numpy_helper.from_array(np.zeros(1, np.float32), "bias")
    onnx.save(helper.make_model(helper.make_graph([], "g", values, values[:1], [weight])), tmp_path / "m.onnx")
    assert list(read_onnx(tmp_path / "m.onnx").required) == ["x"]


def test_weights_in_other_files(tmp_path: Path) -> None:
    weights = [numpy_helper.from_array(np.zeros((100, size), np.float32), f"w{size}") for size in (1, 2)]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([], "g", [value], [value], weights))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    read = read_onnx(tmp_path / "m.onnx")
    assert read.initializers == {"w1": (100, 1), "w2": (100, 2)}
    assert read.external == {"w.bin": (tmp_path / "w.bin").stat().st_size}


def test_large_weights_cost_no_time(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros(50_000_000, np.uint8), "w")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    onnx.save(helper.make_model(helper.make_graph([], "g", [value], [value], [weight])), tmp_path / "m.onnx")
    began = time.process_time()
    assert sha256(tmp_path / "m.onnx")
    reading_all = time.process_time() - began
    assert read_onnx(tmp_path / "m.onnx").initializers == {"w": (50_000_000,)}
    assert time.process_time() - began - reading_all < reading_all / 2


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<html>404</html>", "not "),
        ("한국어 문장입니다".encode(), "not "),
        (b"\x08\x08", "without a graph"),
        (b"PK\x03\x04" + bytes(100), "not "),
    ],
)
def test_what_is_no_onnx_file(tmp_path: Path, content: bytes, looks: str) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(NotOnnx, match=looks):
        read_onnx(tmp_path / "m.onnx")


def test_a_file_cut_anywhere_is_refused_or_read(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    save_graph(file)
    content, refused = file.read_bytes(), 0
    for end in range(len(content)):
        file.write_bytes(content[:end])
        try:
            read_onnx(file)
        except NotOnnx:
            refused += 1
    assert refused >= len(content) * 0.9
