"""Small models for the tests of the server: ONNX graphs of a few nodes, Python models that measure their text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Graph = Callable[[], onnx.ModelProto]

LINEAR_INPUTS = """
input { name: "ids" data_type: TYPE_INT64 dims: -1 }
input { name: "mask" data_type: TYPE_INT64 dims: -1 }
"""
LINEAR = LINEAR_INPUTS + 'output { name: "outputs" data_type: TYPE_FP32 dims: 3 }'
TEXT = """
input { name: "input_text" data_type: TYPE_STRING dims: 1 }
output { name: "length" data_type: TYPE_INT32 dims: 1 }
output { name: "echo" data_type: TYPE_STRING dims: 1 }
output { name: "halves" data_type: TYPE_STRING dims: -1 }
"""
MEASURE = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "input_text") for request in requests]
        return [self.answer(tensor.as_numpy()) for tensor in tensors]

    def answer(self, texts):
        if b"refuse me" in texts:
            error = pb_utils.TritonError("measure: that text is refused", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        length = np.array([len(text.decode("utf-8")) for text in texts.ravel()], dtype=np.int32)
        halves = np.array([[text[:3], text[3:]] for text in texts.ravel()], dtype=object)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("length", length.reshape(texts.shape)),
                pb_utils.Tensor("echo", texts),
                pb_utils.Tensor("halves", halves if texts.ndim > 1 else halves[0]),
            ]
        )
"""


def onnx_model(
    nodes: list[onnx.NodeProto], inputs: dict, outputs: dict, weights: dict | None = None
) -> onnx.ModelProto:
    """A checked model; inputs and outputs: name -> (element type, shape)."""
    graph = helper.make_graph(
        nodes,
        "playground",
        [helper.make_tensor_value_info(name, *spec) for name, spec in inputs.items()],
        [helper.make_tensor_value_info(name, *spec) for name, spec in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def linear(batch: int | str = "batch", length: int | str = "length") -> onnx.ModelProto:
    """outputs = sum(ids * mask) * [1, 2, 3], twice = 2 * that sum."""
    return onnx_model(
        [
            helper.make_node("Mul", ["ids", "mask"], ["kept"]),
            helper.make_node("Cast", ["kept"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["numbers", "axis"], ["sum"], keepdims=1),
            helper.make_node("MatMul", ["sum", "weights"], ["outputs"]),
            helper.make_node("Add", ["sum", "sum"], ["twice"]),
        ],
        {name: (TensorProto.INT64, [batch, length]) for name in ("ids", "mask")},
        {"outputs": (TensorProto.FLOAT, [batch, 3]), "twice": (TensorProto.FLOAT, [batch, 1])},
        {"axis": np.array([1]), "weights": np.array([[1, 2, 3]], dtype=np.float32)},
    )


def lookup() -> onnx.ModelProto:
    """found = ten times the id; ids from 0 to 9, any other fails."""
    return onnx_model(
        [helper.make_node("Gather", ["table", "ids"], ["found"])],
        {"ids": (TensorProto.INT64, ["batch", "length"])},
        {"found": (TensorProto.FLOAT, ["batch", "length"])},
        {"table": np.arange(0, 100, 10, dtype=np.float32)},
    )


def identity() -> onnx.ModelProto:
    """same = text."""
    return onnx_model(
        [helper.make_node("Identity", ["text"], ["same"])],
        {"text": (TensorProto.STRING, ["batch", "count"])},
        {"same": (TensorProto.STRING, ["batch", "count"])},
    )


def marked() -> onnx.ModelProto:
    """marked = x + START, which Triton sends of a sequence's requests."""
    return onnx_model(
        [helper.make_node("Add", ["x", "START"], ["marked"])],
        {name: (TensorProto.FLOAT, ["batch", 1]) for name in ("x", "START")},
        {"marked": (TensorProto.FLOAT, ["batch", 1])},
    )


def attention() -> onnx.ModelProto:
    """mean = the mean of softmax(v v^T) v, v = x times a row of 64 weights; needs memory by batch x length x length."""
    return onnx_model(
        [
            helper.make_node("Unsqueeze", ["x", "last"], ["column"]),
            helper.make_node("MatMul", ["column", "weights"], ["v"]),
            helper.make_node("Transpose", ["v"], ["turned"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["v", "turned"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["shares"]),
            helper.make_node("MatMul", ["shares", "v"], ["mixed"]),
            helper.make_node("ReduceMean", ["mixed"], ["means"], axes=[2], keepdims=0),
            helper.make_node("ReduceMean", ["means"], ["mean"], axes=[1], keepdims=1),
        ],
        {"x": (TensorProto.FLOAT, ["batch", "length"])},
        {"mean": (TensorProto.FLOAT, ["batch", 1])},
        {"last": np.array([2]), "weights": np.full((1, 64), 0.1, dtype=np.float32)},
    )


def write_onnx(
    repository: Path, name: str, model: onnx.ModelProto, config: str | None, file: str = "model.onnx"
) -> None:
    """An ONNX model's folder; without a config.pbtxt when `config` is None."""
    (repository / name / "1").mkdir(parents=True)
    onnx.save(model, repository / name / "1" / file)
    if config is not None:
        (repository / name / "config.pbtxt").write_text(f'backend: "onnxruntime"\n{config}', encoding="utf-8")


def write_python(repository: Path, name: str, config: str, source: str = MEASURE) -> None:
    """A Python model's folder."""
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text(source, encoding="utf-8")
    (repository / name / "config.pbtxt").write_text(f'backend: "python"\n{config}', encoding="utf-8")


def write_front(repository: Path, name: str, model: str) -> None:
    """An ensemble of one step, a model with TEXT's tensors."""
    tensors = ("length", "echo", "halves")
    wiring = " ".join(f'output_map {{ key: "{tensor}" value: "{tensor}" }}' for tensor in tensors)
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(
        f'platform: "ensemble" max_batch_size: 4 {TEXT} ensemble_scheduling {{ step {{ model_name: "{model}"'
        f' model_version: -1 input_map {{ key: "input_text" value: "input_text" }} {wiring} }} }}',
        encoding="utf-8",
    )
