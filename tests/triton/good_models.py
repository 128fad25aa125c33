"""Small good models for the table of broken ones: an engine, a Python model, an ensemble of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ENGINE_INPUT = """\
input {
  name: "ids"
  data_type: TYPE_INT64
  dims: [ -1 ]
}
"""

ENGINE_OUTPUT = """\
output {
  name: "scores"
  data_type: TYPE_FP32
  dims: [ 3 ]
}
"""

ENGINE_CONFIG = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: 4
{tensors}instance_group {{ count: 1 }}
"""

RAGGED_CONFIG = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: 4
input {{
  name: "ids"
  data_type: TYPE_INT64
  dims: [ -1 ]
  allow_ragged_batch: true
}}
output {{
  name: "scores"
  data_type: TYPE_FP32
  dims: [ 3 ]
}}
output {{
  name: "marks"
  data_type: TYPE_FP32
  dims: [ -1, 2 ]
}}
batch_input {{
  kind: BATCH_ITEM_SHAPE_FLATTEN
  target_name: "lengths"
  data_type: TYPE_INT32
  source_input: "ids"
}}
batch_output {{
  kind: BATCH_SCATTER_WITH_INPUT_SHAPE
  target_name: "marks"
  source_input: "ids"
}}
dynamic_batching {{ }}
instance_group {{ count: 1 }}
"""

PYTHON_CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 4
input {{
  name: "text"
  data_type: TYPE_STRING
  dims: [ 1 ]
}}
output {{
  name: "ids"
  data_type: TYPE_INT64
  dims: [ -1 ]
}}
instance_group {{ count: 1 kind: KIND_CPU }}
"""

ENSEMBLE_CONFIG = """\
name: "{name}"
platform: "ensemble"
max_batch_size: 4
input {{
  name: "text"
  data_type: TYPE_STRING
  dims: [ 1 ]
}}
output {{
  name: "scores"
  data_type: TYPE_FP32
  dims: [ 3 ]
}}
ensemble_scheduling {{
  step {{
    model_name: "good_python"
    model_version: -1
    input_map {{ key: "text" value: "text" }}
    output_map {{ key: "ids" value: "ids" }}
  }}
  step {{
    model_name: "good_engine"
    model_version: -1
    input_map {{ key: "ids" value: "ids" }}
    output_map {{ key: "scores" value: "scores" }}
  }}
}}
"""

MODEL_PY = """\
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.name = args["model_name"]

    def execute(self, requests):
        ids = [np.ones((len(pb_utils.get_input_tensor_by_name(r, "text").as_numpy()), 2), np.int64) for r in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("ids", each)]) for each in ids]
"""

STEPS_PY = """\
import importlib.util
import json
from pathlib import Path

HERE = Path(__file__).parent


class TritonPythonModel:
    def initialize(self, args):
        self.steps = []
        for row in json.loads((HERE / "steps.json").read_text(encoding="utf-8"))["steps"]:
            spec = importlib.util.spec_from_file_location("step", HERE / row["file"])
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            self.steps.append(getattr(module, row["class"])(HERE, **row["settings"]))

    def execute(self, requests):
        return []
"""

STEP_PY = """\
class Shout:
    def __init__(self, folder, *, mark, times=1):
        self.words = (folder / "words.txt").read_text(encoding="utf-8")
"""

STEPS_JSON = """\
{
  "steps": [
    {
      "file": "shout.py",
      "class": "Shout",
      "settings": {"mark": "!"}
    }
  ]
}
"""


def engine(folder: Path) -> Path:
    """(batch, length) INT64 ids -> (batch, 3) FP32 scores."""
    write(folder / "config.pbtxt", ENGINE_CONFIG.format(name=folder.name, tensors=ENGINE_INPUT + ENGINE_OUTPUT))
    save_graph(folder / "1" / "model.onnx")
    return folder


def ragged(folder: Path) -> Path:
    """(batch, length) INT64 ids of any lengths -> (batch, 3) FP32 scores, and (batch, length, 2) FP32 marks."""
    write(folder / "config.pbtxt", RAGGED_CONFIG.format(name=folder.name))
    save_ragged_graph(folder / "1" / "model.onnx")
    return folder


def pair(folder: Path) -> Path:
    """A Python model of two inputs, ids and mask."""
    python(folder)
    text = PYTHON_CONFIG.format(name=folder.name).partition("input")[0]
    inputs = ENGINE_INPUT + ENGINE_INPUT.replace('"ids"', '"mask"')
    write(folder / "config.pbtxt", text + inputs + ENGINE_OUTPUT + "instance_group { count: 1 kind: KIND_CPU }\n")
    return folder


def decoupled(folder: Path) -> Path:
    """A Python model that may answer a request any number of times."""
    python(folder)
    config = folder / "config.pbtxt"
    write(config, config.read_text(encoding="utf-8") + "model_transaction_policy { decoupled: true }\n")
    return folder


def python(folder: Path) -> Path:
    """(batch, 1) text -> (batch, 2) INT64 ids."""
    write(folder / "config.pbtxt", PYTHON_CONFIG.format(name=folder.name))
    write(folder / "1" / "model.py", MODEL_PY)
    return folder


def steps(folder: Path) -> Path:
    """A Python model that constructs the steps of its steps.json."""
    python(folder)
    write(folder / "1" / "model.py", STEPS_PY)
    write(folder / "1" / "steps.json", STEPS_JSON)
    write(folder / "1" / "shout.py", STEP_PY)
    write(folder / "1" / "words.txt", "안녕\n")
    return folder


def ensemble(folder: Path) -> Path:
    """(batch, 1) text -> (batch, 3) FP32 scores, through good_python and good_engine."""
    write(folder / "config.pbtxt", ENSEMBLE_CONFIG.format(name=folder.name))
    write(folder / "1" / "README", "keeps the folder")
    return folder


def write(file: Path, text: str) -> None:
    """A text file, with its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def save_graph(file: Path, *, batch: str | int = "batch", opset: int = 17, ir: int = 8) -> None:
    """ids -> scores: the sum of the ids, times three weights."""
    floats, longs = TensorProto.FLOAT, TensorProto.INT64
    nodes = [
        helper.make_node("Cast", ["ids"], ["floats"], to=floats),
        helper.make_node("ReduceSum", ["floats", "axes"], ["sum"], keepdims=1),
        helper.make_node("MatMul", ["sum", "weights"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "scores",
        [helper.make_tensor_value_info("ids", longs, [batch, "length"])],
        [helper.make_tensor_value_info("scores", floats, [batch, 3])],
        [
            numpy_helper.from_array(np.array([[1, 2, 3]], np.float32), "weights"),
            numpy_helper.from_array(np.array([1]), "axes"),
        ],
    )
    save(file, graph, opset=opset, ir=ir)


def ids_graph(folder: Path, *, positions: str = "position_embeddings.weight") -> None:
    """Another graph for `engine`: ids -> scores by a vocabulary of 10 and 8 positions, as a BERT reads them."""
    nodes = [
        helper.make_node("Gather", ["word_embeddings.weight", "ids"], ["words"]),
        helper.make_node("Shape", ["ids"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["length"]),
        helper.make_node("Range", ["zero", "length", "one"], ["places"]),
        helper.make_node("Gather", [positions, "places"], ["positions"]),
        helper.make_node("Add", ["words", "positions"], ["both"]),
        helper.make_node("ReduceMean", ["both"], ["scores"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "ids",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(np.ones((10, 3), np.float32), "word_embeddings.weight"),
            numpy_helper.from_array(np.ones((8, 3), np.float32), positions),
            numpy_helper.from_array(np.array(0), "zero"),
            numpy_helper.from_array(np.array(1), "one"),
        ],
    )
    save(folder / "1" / "model.onnx", graph)


def save_ragged_graph(
    file: Path,
    *,
    tokens: str | int = "tokens",
    lengths: str = "lengths",
    length_type: int = TensorProto.INT32,
    length_shape: Sequence[str | int] = ("items",),
    more: Sequence[str] = (),
) -> None:
    """Flat ids, and how many of them each item has -> scores: each item's sum of ids, times three weights; marks."""
    floats, longs = TensorProto.FLOAT, TensorProto.INT64
    nodes = [
        helper.make_node("Cast", [lengths], ["counts"], to=longs),
        helper.make_node("Reshape", ["counts", "flat"], ["each"]),
        helper.make_node("CumSum", ["each", "zero"], ["ends"]),
        helper.make_node("Sub", ["ends", "each"], ["starts"]),
        helper.make_node("Cast", ["ids"], ["floats"], to=floats),
        helper.make_node("CumSum", ["floats", "zero"], ["sums"]),
        helper.make_node("Concat", ["nothing", "sums"], ["sums_before"], axis=0),
        helper.make_node("Gather", ["sums_before", "ends"], ["sum_at_end"]),
        helper.make_node("Gather", ["sums_before", "starts"], ["sum_at_start"]),
        helper.make_node("Sub", ["sum_at_end", "sum_at_start"], ["sum"]),
        helper.make_node("Unsqueeze", ["sum", "one"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["scores"]),
        helper.make_node("Unsqueeze", ["floats", "one"], ["row"]),
        helper.make_node("MatMul", ["row", "scales"], ["marks"]),
    ]
    graph = helper.make_graph(
        nodes,
        "ragged",
        [
            helper.make_tensor_value_info("ids", longs, [tokens]),
            helper.make_tensor_value_info(lengths, length_type, length_shape),
            *(helper.make_tensor_value_info(name, TensorProto.INT32, ["items"]) for name in more),
        ],
        [
            helper.make_tensor_value_info("scores", floats, ["items", 3]),
            helper.make_tensor_value_info("marks", floats, [tokens, 2]),
        ],
        [
            numpy_helper.from_array(np.array([[1, 2, 3]], np.float32), "weights"),
            numpy_helper.from_array(np.array([[1, 10]], np.float32), "scales"),
            numpy_helper.from_array(np.array([0], np.float32), "nothing"),
            numpy_helper.from_array(np.array(0), "zero"),
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.array([-1]), "flat"),
        ],
    )
    save(file, graph)


def save(file: Path, graph: onnx.GraphProto, *, opset: int = 17, ir: int = 8) -> None:
    """A graph as an ONNX file."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)
