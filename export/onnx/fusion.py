"""ONNX Runtime's own transformer fusion: whole attention layers as single operators, which no other engine can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import UserError, require
from tbgen.export.onnx.graph_file import load_graph, makers_of, save_graph
from tbgen.export.precision.precision import converter

# The families in whose graphs the fusion finds attention; in the others it only does what ONNX Runtime does anyway.
FUSED = ("bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra")
_FUSING = ("fuse layers of this graph", "without --optimize")  # the work, and how to do without it


def fuse(source: Path, target: Path, config: dict[str, Any]) -> None:
    """Write `source` with fused operators of com.microsoft to `target`.

    Raises UserError for a family that gains nothing, and for a graph without an attention layer that it knows.
    """
    family = config["model_type"]
    if family not in FUSED:
        raise UserError(f"--optimize finds no attention layers in a {family} graph; it serves {', '.join(FUSED)}")
    model = load_graph(source)
    with converter(*_FUSING):
        _divide_scores(model.graph)
        _count_heads(model.graph, _heads_of(config))
    save_graph(model, target)
    fused = fused_model(target, config)
    if not any(node.op_type == "Attention" for node in fused.graph.node):
        raise UserError("--optimize found no attention layer in this graph; export without it")
    save_graph(fused, target)


def fused_model(path: Path, config: dict[str, Any], *, attention: bool = True) -> Any:
    """The model in a file with what ONNX Runtime's optimizer for BERT fuses: norms, GELU and, if asked, attention."""
    optimizer = require("onnxruntime.transformers.optimizer", extra="onnx")
    options = require("onnxruntime.transformers.fusion_options", extra="onnx").FusionOptions("bert")
    options.use_raw_attention_mask()  # else it is summed up, as if no masked token could stand before a real one
    options.enable_attention = attention
    with converter(*_FUSING):
        fused = optimizer.optimize_model(
            str(path),
            model_type="bert",
            num_heads=_heads_of(config),
            hidden_size=config.get("hidden_size") or config["dim"],
            optimization_options=options,
            opt_level=0,
        )
        fused.topological_sort(is_deterministic=True)
    return fused.model


def _heads_of(config: dict[str, Any]) -> int:
    """How many heads an attention layer has; DistilBERT has a name of its own for it."""
    return int(config.get("num_attention_heads") or config["n_heads"])


def _divide_scores(graph: Any) -> None:
    """Write each attention's `scores * scale` as `scores / (1 / scale)`.

    The fusion looks for the mask by its product and takes the product with the scale for it, as the two stand beside
    each other in today's models; it was written for those that divide.
    """
    numpy_helper = require("onnx", extra="onnx").numpy_helper
    makers = makers_of(graph)
    sums = [makers[node.input[0]] for node in graph.node if node.op_type == "Softmax" and node.input[0] in makers]
    for total in sums:
        product, factor = _find_scale(total, makers)
        if product is not None:
            value = numpy_helper.to_array(factor.attribute[0].t)
            product.op_type = "Div"
            factor.attribute[0].t.CopyFrom(numpy_helper.from_array((1 / value).astype(np.float32)))


def _count_heads(graph: Any, heads: int) -> None:
    """Write the number of heads into the shapes that leave it open, as today's models do.

    Without it the fusion of ONNX Runtime before 1.31 takes the -1 for the number and finds no attention.
    """
    numpy_helper = require("onnx", extra="onnx").numpy_helper
    constants = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    opened = {name for name, value in constants.items() if (numpy_helper.to_array(value) == -1).all()}
    graph.initializer.append(numpy_helper.from_array(np.array([heads]), "heads"))
    for node in graph.node:
        if node.op_type == "Concat" and len(node.input) == 4 and node.input[2] in opened:
            node.input[2] = "heads"


def _find_scale(total: Any, makers: dict[str, Any]) -> tuple[Any, Any]:
    """The product of scores and scale in a sum with the mask, and the node of the constant; None for other sums."""
    for name in total.input if total.op_type == "Add" else ():
        product = makers.get(name)
        if product is not None and product.op_type == "Mul" and makers[product.input[0]].op_type == "MatMul":
            factor = makers.get(product.input[1])
            return (product, factor) if factor is not None and factor.op_type == "Constant" else (None, None)
    return None, None
