"""A graph of varlen.py in few operators: queries, keys and values by one product; norms and GELU fused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import require
from tbgen.export.families import padding_idx_of
from tbgen.export.onnx.fusion import fused_model
from tbgen.export.onnx.graph_file import MICROSOFT, load_graph, makers_of, save_graph
from tbgen.export.onnx.varlen import VARLEN, name_tensors
from tbgen.export.precision.eight_bits import read_weights_themselves

ATTENTION = ("PackedAttention", VARLEN)
_AXIS = "first_axis"
UNCOUNTED = "tbgen.uncounted"  # of the file's properties: the token id that positions leave out, if there is one
# Operators that do the same on (tokens, width) as on (1, tokens, width).
_NORMS = ("LayerNormalization", "SkipLayerNormalization")
_ACTIVATIONS = ("BiasGelu", "Div", "Erf", "FastGelu", "Gelu", "Mul", "Pow", "Relu", "Sigmoid", "Tanh")
_OF_ROWS = ("Add", "Cast", "MatMul", *_NORMS, *_ACTIVATIONS)


def fuse_varlen(source: Path, target: Path, config: dict[str, Any]) -> None:
    """Write `source` with the operators that ONNX Runtime has for CUDA to `target`."""
    model = load_graph(source)
    name_tensors(model)
    read_weights_themselves(model.graph)
    _merge_projections(model.graph)
    drop_unread(model.graph)
    save_graph(model, target)
    fused = fused_model(target, config, attention=False)
    _drop_axis(fused.graph)
    drop_unread(fused.graph)
    if (uncounted := padding_idx_of(config)) is not None:
        fused.metadata_props.add(key=UNCOUNTED, value=str(uncounted))
    save_graph(fused, target)


@dataclass(frozen=True)
class _Projection:
    """Names of what a projection multiplies and adds."""

    states: str
    weight: str
    bias: str


def _merge_projections(graph: Any) -> None:
    """Let one PackedAttention do what attention and its three projections of one tensor do."""
    onnx = require("onnx", extra="onnx")
    makers = makers_of(graph)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    merged: list[Any] = []
    for node in graph.node:
        found = [_projection(name, makers, weights) for name in node.input[:3]] if node.op_type == VARLEN else []
        parts = [part for part in found if part]
        if len(parts) < 3 or len({part.states for part in parts}) > 1:
            merged.append(node)
            continue
        names = [
            _joined(graph, weights, [part.weight for part in parts], axis=1),
            _joined(graph, weights, [part.bias for part in parts], axis=0),
        ]
        flat, shape = f"{node.output[0]}/states", f"{node.output[0]}/shape"
        width = weights[parts[0].weight].dims[0]
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, width]), shape))
        merged.append(onnx.helper.make_node("Reshape", [parts[0].states, shape], [flat], name=flat))
        inputs = [flat, *names, *node.input[4:]]
        made = onnx.helper.make_node("PackedAttention", inputs, list(node.output), name=node.name, domain=MICROSOFT)
        made.attribute.extend(node.attribute)
        merged.append(made)
    _replace_nodes(graph, merged)


def _projection(name: str, makers: dict[str, Any], weights: dict[str, Any]) -> _Projection | None:
    """The linear layer that makes a tensor, but for reshapes and transposes that end as they begin; None: another."""
    while name in makers and makers[name].op_type in {"Reshape", "Transpose"}:
        name = makers[name].input[0]
    total = makers.get(name)
    if total is None or total.op_type != "Add":
        return None
    bias, product = sorted(total.input, key=lambda each: each not in weights)
    made = makers.get(product)
    if bias not in weights or made is None or made.op_type != "MatMul" or made.input[1] not in weights:
        return None
    return _Projection(made.input[0], made.input[1], bias)


def _joined(graph: Any, weights: dict[str, Any], names: list[str], *, axis: int) -> str:
    """The name of the weight that joins some along an axis; the same for layers that share theirs."""
    helper = require("onnx", extra="onnx").numpy_helper
    name = "+".join(names)
    if name not in weights:
        joined = np.concatenate([helper.to_array(weights[each]) for each in names], axis=axis)
        weights[name] = helper.from_array(joined, name)
        graph.initializer.append(weights[name])
    return name


def _drop_axis(graph: Any) -> None:
    """Let the layers work on (tokens, width), as attention does, without the axis of one that the model puts before.

    What does not do the same on both gets the axis back.
    """
    onnx = require("onnx", extra="onnx")
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), _AXIS))
    made_of = {output: node for node in graph.node for output in node.output}
    constants = {name for name, node in made_of.items() if node.op_type == "Constant"}
    fixed = constants | {tensor.name for tensor in graph.initializer} | {""}
    given = {output.name for output in graph.output}
    attended = {node.output[0] for node in graph.node if node.op_type in ATTENTION}
    read_flat = {node.input[0] for node in graph.node if node.op_type == "PackedAttention"}
    rows: dict[str, str] = {}  # a tensor of (1, tokens, width) -> the one of (tokens, width)
    nodes: list[Any] = []
    for node in graph.node:
        first = rows.get(node.input[0], "") if node.input else ""
        moving = [name for name in node.input if name not in fixed]
        if node.op_type == "Reshape" and node.output[0] in read_flat and first:
            node.op_type, node.input[:] = "Identity", [first]
        elif node.op_type == "Reshape" and node.output[0] in read_flat:
            rows[node.input[0]] = node.output[0]
        elif node.op_type == "Reshape" and (behind := _attention_behind(node, made_of, attended)):
            rows[node.output[0]] = behind
        elif node.op_type in _OF_ROWS and moving and rows.keys() >= {*moving} and not given & {*node.output}:
            node.input[:] = [rows.get(name, name) for name in node.input]
            rows[node.output[0]] = node.output[0]
        elif first and node.op_type == "Gather" and node.attribute[0].i == 1:
            node.attribute[0].i, node.input[0] = 0, first
            rows[node.output[0]] = node.output[0]
        else:
            nodes += _give_axis_back(node, rows, {output for each in nodes for output in each.output})
        nodes.append(node)
    _replace_nodes(graph, nodes)
    del graph.value_info[:]  # they say the shapes of before


def _attention_behind(node: Any, made_of: dict[str, Any], attended: set[str]) -> str:
    """The attention that the second of two reshapes gives on as (1, tokens, width); nothing for others."""
    before = made_of.get(node.input[0])
    return before.input[0] if before is not None and before.op_type == "Reshape" and before.input[0] in attended else ""


def _give_axis_back(node: Any, rows: dict[str, str], there: set[str]) -> Iterator[Any]:
    """The nodes that give a node's inputs of rows their first axis, but those that are there."""
    helper = require("onnx", extra="onnx").helper
    for place, name in enumerate(node.input):
        if name in rows:
            node.input[place] = batched = f"{rows[name]}/batched"
            if batched not in there:
                yield helper.make_node("Unsqueeze", [rows[name], _AXIS], [batched], name=batched)


def _replace_nodes(graph: Any, nodes: list[Any]) -> None:
    """Give a graph these nodes."""
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]  # they go with the list they are in
    del graph.node[:]
    graph.node.extend(copies)


def drop_unread(graph: Any) -> None:
    """Take out what no output of the graph needs."""
    needed = {output.name for output in graph.output}
    kept: list[Any] = []
    for node in reversed(graph.node):
        if needed & {*node.output}:
            needed |= {*node.input}
            kept.append(node)
    _replace_nodes(graph, kept[::-1])
    read = [
        type(tensor).FromString(tensor.SerializeToString()) for tensor in graph.initializer if tensor.name in needed
    ]
    del graph.initializer[:]
    graph.initializer.extend(read)
