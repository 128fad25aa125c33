"""What `check` completes and refuses of an ONNX model is what the embedded server's backend completes and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import json_format, text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.generator.check.check import check_repository
from tbgen.generator.check.model import read_model
from tbgen.generator.rules.onnxruntime import complete_config, lacks_tensors, model_file, problems, specs_from_nodes
from tbgen.generator.rules.problem import refuse
from tests.triton.good_models import save

Shape = list[int | str]

# The shapes of x and y.
GRAPHS: dict[str, tuple[Shape, Shape]] = {
    "a value an item": (["b", "n"], ["b"]),
    "a value an item in": (["b"], ["b", 3]),
    "flat": (["b"], ["b"]),
    "rows": (["b", "n"], ["b", "n"]),
    "fixed batch": ([1, "n"], [1, 3]),
    "fixed batch out": (["b", "n"], [1]),
    "no axes": ([], []),
    "no axes out": (["b", "n"], []),
    "one value": ([1], [1]),
}
INPUT = 'input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } '
OUTPUT = 'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } } '
CONFIGS = {
    "bare": "",
    "batching": "max_batch_size: 8 ",
    "one": "max_batch_size: 1 ",
    "inputs": f"max_batch_size: 8 {INPUT}",
    "inputs unbatched": INPUT,
    "outputs": f"max_batch_size: 8 {OUTPUT}",
    "both": f"max_batch_size: 8 {INPUT}{OUTPUT}",
    "sequences": "max_batch_size: 8 sequence_batching { } ",
}


def save_model(file: Path, x: Shape, y: Shape) -> None:
    """x -> y, of these shapes as the file says them; what it computes is never asked."""
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in (("x", x), ("y", y))
    )
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Reshape", ["places", "flat"], ["shape"]),  # of a size that no one can know
        helper.make_node("ConstantOfShape", ["shape"], ["y"]),
    ]
    save(file, helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(np.array([-1]), "flat")]))


def backend_says(file: Path, text: str) -> tuple[dict[str, Any], str]:
    """The config that the backend completes from ONNX Runtime's session, and why it refuses it, if it does."""
    config = text_format.Parse(f'name: "m" backend: "onnxruntime" {text}', ModelConfig())
    empty = {"max_batch_size": 0, "input": [], "output": []}
    values = empty | json_format.MessageToDict(config, preserving_proto_field_name=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    inputs, outputs = specs_from_nodes(session.get_inputs()), specs_from_nodes(session.get_outputs())
    try:
        if lacks_tensors(values):
            complete_config(values, inputs, outputs)
        refuse(problems(values, inputs, {}, outputs))
    except ValueError as error:
        return values, str(error)
    return values, ""


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("config", CONFIGS)
def test_check_completes_and_refuses_as_the_backend_does(config: str, graph: str, tmp_path: Path) -> None:
    file = tmp_path / "m" / "1" / "model.onnx"
    save_model(file, *GRAPHS[graph])
    (tmp_path / "m" / "config.pbtxt").write_text(f'backend: "onnxruntime" {CONFIGS[config]}', encoding="utf-8")
    values, refusal = backend_says(file, CONFIGS[config])
    refused = [finding.says for finding in check_repository(tmp_path) if finding.effect == "refused"]
    assert bool(refused) == bool(refusal)
    assert refusal in {"", *refused}
    if not refusal:
        completed = read_model(tmp_path / "m").completed
        names = ("max_batch_size", "dynamic_batching", "input", "output")
        expected = json_format.ParseDict({name: values[name] for name in names if name in values}, ModelConfig())
        assert {name: getattr(completed, name) for name in names} == {name: getattr(expected, name) for name in names}


def test_what_batch_input_adds_counts_as_inputs() -> None:
    config: dict[str, Any] = {"name": "m", "max_batch_size": 8, "input": [], "output": [], "batch_input": [{}]}
    assert lacks_tensors(config)
    complete_config(config, {"x": ("TYPE_FP32", [-1])}, {"y": ("TYPE_FP32", [-1, 3])})
    assert config["input"] == []
    assert config["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": [3]}]
    assert not lacks_tensors(config)


@pytest.mark.parametrize(
    "config", ["", f'max_batch_size: 8 {INPUT}output {{ name: "y" data_type: TYPE_FP32 dims: [ -1 ] }} ']
)
def test_what_is_no_tensor_is_refused_also_where_the_config_leaves_it_out(config: str, tmp_path: Path) -> None:
    shape = ["b", "n"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    many = helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, shape)
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("SequenceConstruct", ["x"], ["many"])]
    file = tmp_path / "m" / "1" / "model.onnx"
    save(file, helper.make_graph(nodes, "g", values[:1], [values[1], many]))
    (tmp_path / "m" / "config.pbtxt").write_text(f'backend: "onnxruntime" {config}', encoding="utf-8")
    says = "Unsupported ONNX Type 'ONNX_TYPE_SEQUENCE' for I/O 'many', expected 'ONNX_TYPE_TENSOR'."
    assert backend_says(file, config)[1] == says
    assert [finding.says for finding in check_repository(tmp_path) if finding.effect == "refused"][:1] == [says]


def test_a_file_in_a_folder_of_the_version_is_found_by_both(tmp_path: Path) -> None:
    config: dict[str, Any] = {"default_model_filename": "fp32/bert.onnx"}
    assert model_file(config, tmp_path) == tmp_path / "fp32" / "bert.onnx"
    (tmp_path / "fp32" / "bert.onnx").mkdir(parents=True)
    assert model_file(config, tmp_path) == tmp_path / "fp32" / "bert.onnx" / "model.onnx"
