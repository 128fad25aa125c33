"""What tbgen's own code costs one client: its graphs beside the same graphs with steps that do nothing.

The second repository is the first with every model.py replaced by one that answers constants (that of the BLS model
calls the engine between), and an engine whose graph computes nothing. What is left is what Triton and its Python
backend take. The bound adds what the engine and the tokenizer themselves need for a text, measured in bare loops that
pause between two texts as one client's server does: caches go cold and threads fall asleep.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.bare import columns_of
from benchmarks.load import load, triton_requests
from benchmarks.models import export_of_shape, scaffold_graphs
from benchmarks.table import Row, row_of
from benchmarks.texts import lines
from tbgen.export.exported import Exported
from tbgen.export.layout import LENGTHS
from tbgen.export.run import onnx_run
from tbgen.server.embedded.server import server_on_free_ports

LINES, TOKENS = 400, 32
BOUND = 1.15
PAUSE = 0.002  # seconds
NO_STEPS = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils

CALLEE = {callee!r}
TYPES = {{"TYPE_STRING": np.object_, "TYPE_INT32": np.int32, "TYPE_INT64": np.int64, "TYPE_FP32": np.float32}}


def constant(name, data_type, dims):
    shape = [1, *(size if size > 0 else {tokens} for size in dims)]
    value = b"" if data_type == "TYPE_STRING" else 1
    return pb_utils.Tensor(name, np.full(shape, value, dtype=TYPES[data_type]))


class TritonPythonModel:
    def initialize(self, args):
        outputs = json.loads(args["model_config"])["output"]
        self.outputs = [(spec["name"], spec["data_type"], [int(size) for size in spec["dims"]]) for spec in outputs]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        if CALLEE:
            model, inputs, wanted = CALLEE
            tensors = [constant(name, "TYPE_INT64", [-1]) for name in inputs]
            call = pb_utils.InferenceRequest(model_name=model, requested_output_names=wanted, inputs=tensors)
            assert not call.exec().has_error()
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse([constant(*spec) for spec in self.outputs if spec[0] in wanted])
"""
NO_ENGINE = """
<ir_version: 8, opset_import: ["": 17]>
nothing ({flat}, int32[batch] {lengths}) => (float[batch, 3] outputs)
<float[1, 3] zeros = {{0, 0, 0}}, int64[1] axis = {{1}}> {{
    numbers = Cast<to = 1>({lengths})
    column = Unsqueeze(numbers, axis)
    outputs = Mul(column, zeros)
}}
"""


def rows(*, seconds: float, rounds: int) -> list[Row]:
    """For each graph: its p50 with one client over the bound's, the median of rounds."""
    exported, texts = export_of_shape("tiny", "packed"), lines(LINES)
    own = own_time(exported, texts)
    measured: dict[str, list[tuple[float, float]]] = {"ensemble": [], "bls": [], "single": []}
    with tempfile.TemporaryDirectory() as folder:
        real, nothing = Path(folder) / "real", Path(folder) / "nothing"
        scaffold_graphs("tiny", real)
        write_nothing(real, nothing, exported)
        with server_on_free_ports(real) as one, server_on_free_ports(nothing) as other:
            for _ in range(rounds):
                for graph, pairs in measured.items():
                    requests = triton_requests(f"tiny_onnx_{graph}", [[text] for text in texts])
                    times = [p50(server.http_url, requests, seconds) for server in (one, other)]
                    pairs.append((times[0], times[1]))
    return [graph_row(graph, pairs, own) for graph, pairs in measured.items()]


def p50(url: str, requests: list[bytes], seconds: float) -> float:
    """Milliseconds that one client waits, the median."""
    found = load(url, requests, clients=1, seconds=seconds, warmup=1)
    return float(found["p50_ms"])


def own_time(exported: Exported, texts: Sequence[str]) -> float:
    """Milliseconds that the engine and the tokenizer take for a text in bare loops with pauses, medians."""
    from tokenizers import Tokenizer

    tokenizer, run = Tokenizer.from_file(str(exported.tokenizer)), onnx_run(exported.model)
    encoding, running = [], []
    for text in texts:
        time.sleep(PAUSE)
        began = time.perf_counter()
        (encoded,) = tokenizer.encode_batch_fast([text])
        encoding.append(time.perf_counter() - began)
        ids = np.array([encoded.ids])
        feed = {name: columns_of(ids)[name] for name in exported.inputs}
        time.sleep(PAUSE)
        began = time.perf_counter()
        run(feed)
        running.append(time.perf_counter() - began)
    return (statistics.median(encoding) + statistics.median(running)) * 1000


def write_nothing(real: Path, nothing: Path, exported: Exported) -> None:
    """The same repository with steps and an engine that do nothing."""
    shutil.copytree(real, nothing)
    for file in nothing.glob("*/1/model.py"):
        callee = ("tiny_onnx", list(exported.inputs), ["outputs"]) if "_bls" in file.parts[-3] else None
        file.write_text(NO_STEPS.format(callee=callee, tokens=TOKENS), encoding="utf-8")
    (nothing / "tiny_onnx" / "1" / "model.onnx").write_bytes(engine_of_nothing(list(exported.inputs)))


def engine_of_nothing(inputs: Sequence[str]) -> bytes:
    """An ONNX file with the packed engine's tensors: it multiplies the lengths by zeros."""
    from onnx.parser import parse_model

    flat = ", ".join(f"int64[elements] {name}" for name in inputs)
    return bytes(parse_model(NO_ENGINE.format(flat=flat, lengths=LENGTHS)).SerializeToString())


def graph_row(graph: str, pairs: Sequence[tuple[float, float]], own: float) -> Row:
    served, nothing = (statistics.median(column) for column in zip(*pairs, strict=True))
    limit = f"that of steps that do nothing ({nothing:.2f}) and own time ({own:.2f})"
    what = f"tiny, {graph}, 1 client, p50 {served:.2f} ms, over {limit}"
    return row_of(what, [served / (nothing + own) for served, nothing in pairs], most=BOUND)
