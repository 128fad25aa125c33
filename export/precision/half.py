"""An FP16 file run on a CPU as a GPU would run it: every number between two operators really rounded to half precision.

ONNX Runtime's CPU operators compute FP16 graphs in FP32 and drop the casts in between. An activation beyond 65504,
infinite on a GPU, goes through unharmed there, so a comparison on the CPU would prove nothing. An Identity behind every
operator, with optimisations off, keeps each number in memory as FP16; sums inside a matrix product stay in FP32, as
tensor cores do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tbgen.export.errors import require
from tbgen.export.layout import MODEL_ONNX
from tbgen.export.onnx.graph_file import load_graph, save_graph
from tbgen.export.onnx.twin import twin_of
from tbgen.export.run import Run, Watch, onnx_watch
from tbgen.export.scratch import scratch


def half_run(model: Path) -> Run:
    """Run an FP16 file with true rounding."""
    run = half_watch(model, [])
    return lambda inputs: run(inputs, None)


def half_watch(model: Path, watched: Sequence[str]) -> Watch:
    """The same, where `watched` tensors can be had beside the outputs."""
    loaded = twin_of(load_graph(model))
    _pin(loaded.graph)
    return watch_of(loaded, watched)


def watch_of(model: Any, watched: Sequence[str], *, optimize: bool = False) -> Watch:
    """A changed model as a function, or its twin where it needs a GPU; the file that it is loaded from is gone then."""
    onnx, model = require("onnx", extra="onnx"), twin_of(model)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in watched)
    with scratch() as folder:
        path = folder / MODEL_ONNX
        save_graph(model, path)
        return onnx_watch(path, optimize=optimize)


def _pin(graph: Any) -> None:
    """Put an Identity behind every operator; tensors keep their names."""
    helper = require("onnx", extra="onnx").helper
    results = {output.name for output in graph.output}
    pinned = []
    for node in graph.node:
        pinned.append(node)
        for place, name in enumerate(node.output):
            if name and name not in results and node.op_type != "Constant":
                node.output[place] = f"{name}/raw"
                pinned.append(helper.make_node("Identity", [f"{name}/raw"], [name], name=f"{name}/pin"))
    copies = [type(node).FromString(node.SerializeToString()) for node in pinned]  # they go with the list they are in
    del graph.node[:]
    graph.node.extend(copies)
