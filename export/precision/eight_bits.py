"""Matrix products in 8 bits, in standard ONNX operators, each row of activations with a scale of its own.

ONNX's DynamicQuantizeLinear takes one scale for all that shares a run, so a text's answer moves with its neighbours.
Here a row, which is a token, is divided by a scale that follows from its own numbers: a text's answer is the same
alone and beside any others, to the bit, in the packed layout.

Sentences run through the graph first, to see what its numbers are like: weights are rounded to keep the products on
them (rounding.py), channels far larger than the others are split into several equal parts, so that they do not
make the steps of all others coarse, and the zero point lies where the numbers are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import require
from tbgen.export.onnx.graph_file import load_graph, opset_of, save_graph
from tbgen.export.precision.half import watch_of
from tbgen.export.precision.rounding import round_weights
from tbgen.export.precision.samples import token_rows
from tbgen.export.run import Tensors, Watch

_TOGETHER = 16  # sites whose rows are held at once
_SPLIT = 8  # at most one channel in so many is added by splitting
_LOUD = 1.5  # times the median channel's largest number: what is split
_ZEROS = np.arange(8, 256, 8)  # places for the zero point
_TINY = np.float32(1e-30)  # the scale of a row of zeros


@dataclass(frozen=True)
class Site:
    """Products that read the same tensors: what is found of these holds for all of them.

    `weights` are names of initializers, (inputs, columns) once a Gemm's are turned round; `products` the nodes.
    """

    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    products: tuple[Any, ...]


@dataclass(frozen=True)
class QuantizedInput:
    """How a site's rows become 8 bits: the channels given a second time or more, what each is multiplied with, and
    the byte that stands for 0.
    """

    again: np.ndarray
    factors: np.ndarray
    zero: int

    def widened(self, rows: np.ndarray) -> np.ndarray:
        """Rows with their split channels."""
        return np.asarray(np.concatenate([rows, rows[:, self.again]], axis=1) * self.factors)

    def in_bits(self, wide: np.ndarray) -> np.ndarray:
        """Widened rows as the graph rounds them."""
        steps = np.maximum(wide.max(axis=1) / (255 - self.zero), -wide.min(axis=1) / self.zero)
        steps = np.maximum(steps, _TINY)[:, None]
        return np.asarray(np.rint(wide / steps) * steps)


Product = tuple[np.ndarray, np.ndarray, float]  # int8 (inputs, columns), the columns' float32 scales, what is lost
Calibration = dict[tuple[str, ...], tuple[QuantizedInput, dict[str, Product]]]  # by what a site reads


def eight_bits(
    source: Path, target: Path, kept: Collection[str], inputs: Sequence[Tensors], found: Calibration
) -> None:
    """Write `source` to `target`, the products but those `kept` in 8 bits; `inputs` are what sentences give it.

    `found` takes up what was found of each site, for another go that keeps more.
    """
    model = load_graph(source)
    read_weights_themselves(model.graph)
    sites = _sites_of(model.graph, kept)
    missing = [site for site in sites if not set(site.weights) <= set(found.get(site.inputs, (None, {}))[1])]
    if missing:
        names = list(dict.fromkeys(name for site in missing for name in site.inputs))
        watch = watch_of(load_graph(source), names, optimize=True)
        for start in range(0, len(missing), _TOGETHER):
            found |= _look(model.graph, missing[start : start + _TOGETHER], watch, inputs)
    nodes: dict[str, list[Any]] = {}
    added: dict[str, Any] = {}
    for site in sites:
        how, products = found[site.inputs]
        write = _Writer(site, how, opset_of(model))
        nodes |= write.nodes({name: products[name] for name in site.weights})
        added |= write.tensors
    _replace_nodes(model.graph, nodes, list(added.values()))
    save_graph(model, target)


def product_losses(graph: Any, kept: Collection[str], found: Calibration) -> dict[str, float]:
    """The share of its power that each product loses by itself on the sentences, by the node's name."""
    read_weights_themselves(graph)
    return {
        node.name: found[site.inputs][1][node.input[1]][2] for site in _sites_of(graph, kept) for node in site.products
    }


def _look(graph: Any, sites: Sequence[Site], watch: Watch, inputs: Sequence[Tensors]) -> Calibration:
    """What is found of some sites."""
    arrays = require("onnx", extra="onnx").numpy_helper
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    rows = token_rows(watch, inputs, list(dict.fromkeys(name for site in sites for name in site.inputs)))
    found: Calibration = {}
    for site in sites:
        matrices = {name: _matrix(site, name, arrays.to_array(tensors[name])) for name in site.weights}
        found[site.inputs] = _site_in_bits(matrices, np.concatenate([rows[name] for name in site.inputs]))
    return found


def read_weights_themselves(graph: Any) -> None:
    """Let nodes read weights, and no Identity of them: layers that share weights (ALBERT) are traced with such."""
    weights = {tensor.name for tensor in graph.initializer}
    originals: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [originals.get(name, name) for name in node.input]
        if node.op_type == "Identity" and node.input[0] in weights:
            originals[node.output[0]] = node.input[0]
    given = {output.name for output in graph.output}
    for node in [node for node in graph.node if node.output[0] in originals and node.output[0] not in given]:
        graph.node.remove(node)


def _sites_of(graph: Any, kept: Collection[str]) -> list[Site]:
    """The products with weights, but those kept, by what they read, in the order of the graph."""
    weights = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2 and tensor.data_type == 1}
    made = {output for node in graph.node for output in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        if node.name not in kept and _is_product(node) and node.input[1] in weights and node.input[0] in made:
            readers.setdefault(node.input[1], []).append(node)
    alike: dict[tuple[Any, ...], list[str]] = {}
    for name, nodes in readers.items():
        alike.setdefault((*dict.fromkeys(node.input[0] for node in nodes), _turned(nodes[0])), []).append(name)
    return [
        Site(key[:-1], tuple(names), tuple(node for name in names for node in readers[name]))
        for key, names in alike.items()
    ]


def _is_product(node: Any) -> bool:
    """Whether a node is a plain product: of a Gemm, none that scales or turns its input."""
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    settings = {entry.name: entry.f if entry.name in {"alpha", "beta"} else entry.i for entry in node.attribute}
    return node.op_type == "MatMul" or (
        node.op_type == "Gemm" and all(settings.get(name, value) == value for name, value in plain.items())
    )


def _turned(node: Any) -> bool:
    """Whether a Gemm has its weights as (columns, inputs)."""
    return any(entry.name == "transB" and entry.i for entry in node.attribute)


def _matrix(site: Site, name: str, weights: np.ndarray) -> np.ndarray:
    """Weights as (inputs, columns)."""
    node = next(node for node in site.products if node.input[1] == name)
    return weights.T if _turned(node) else weights


def _site_in_bits(matrices: dict[str, np.ndarray], rows: np.ndarray) -> tuple[QuantizedInput, dict[str, Product]]:
    """How the rows of a site become 8 bits, and for each weight by name its int8 matrix and its columns' scales."""
    again, factors = split_channels(np.abs(rows).max(axis=0))
    how = QuantizedInput(again, factors, 128)
    wide = how.widened(rows)
    how = QuantizedInput(again, factors, zero_point(wide))
    stacked = np.concatenate(list(matrices.values()), axis=1).astype(np.float64)
    steps, scales = round_weights(
        np.concatenate([stacked, stacked[again]]), (wide.T @ wide / len(wide)).astype(np.float64)
    )
    kept = how.in_bits(wide) @ (steps * scales)
    exact = rows @ stacked
    products, start = {}, 0
    for name, weights in matrices.items():
        part = slice(start, start := start + weights.shape[1])
        lost = float(np.square(kept[:, part] - exact[:, part]).sum() / (np.square(exact[:, part]).sum() or 1.0))
        products[name] = steps[:, part], scales[part], lost
    return how, products


def split_channels(most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The channels to repeat, and the factors of all: those that reach far beyond the median are cut to parts of it."""
    parts = np.ones(len(most), dtype=np.int64)
    for _ in range(len(most) // _SPLIT):
        loudest = int(np.argmax(most / parts))
        if most[loudest] / parts[loudest] <= _LOUD * np.median(most):
            break
        parts[loudest] += 1
    again = np.repeat(np.arange(len(most)), parts - 1)
    return again, (1 / parts[np.concatenate([np.arange(len(most)), again])]).astype(np.float32)


def zero_point(rows: np.ndarray) -> int:
    """The byte for 0 with which the rows' steps are finest: 128 for numbers as far below 0 as above."""
    low, high = np.maximum(-rows.min(axis=1), 0), np.maximum(rows.max(axis=1), 0)
    steps = np.maximum(high / (255 - _ZEROS[:, None]), low / _ZEROS[:, None])
    return int(_ZEROS[np.square(steps, dtype=np.float64).mean(axis=1).argmin()])


class _Writer:
    """The nodes of one site, and the constants that they need."""

    def __init__(self, site: Site, how: QuantizedInput, opset: int) -> None:
        onnx = require("onnx", extra="onnx")
        self.site, self.how, self.opset = site, how, opset
        self.helper, self.array = onnx.helper, onnx.numpy_helper.from_array
        self.float = onnx.TensorProto.FLOAT
        self.tensors: dict[str, Any] = {}

    def nodes(self, products: dict[str, Product]) -> dict[str, list[Any]]:
        """What takes each product's place, by its name; a row is scaled before the first product that reads it."""
        ready: dict[str, str] = {}
        shared = {name: self.constants(name, steps, scales) for name, (steps, scales, _) in products.items()}
        found = {}
        for node in self.site.products:
            source, written = node.input[0], []
            if source not in ready:
                ready[source] = f"{node.name}/input"
                written = list(self.scaled(source, ready[source]))
            found[node.name] = [*written, *self.product(node, ready[source], *shared[node.input[1]])]
        return found

    def constants(self, name: str, steps: np.ndarray, scales: np.ndarray) -> tuple[str, str]:
        """A weight's two tensors."""
        return self.constant(f"{name}/int8", steps), self.constant(f"{name}/scales", scales)

    def constant(self, name: str, value: np.ndarray) -> str:
        """A tensor of the graph; its name."""
        self.tensors[name] = self.array(value.copy(order="C"), name)
        return name

    def scalar(self, value: np.generic) -> str:
        """A single number, which all sites share."""
        return self.constant(f"int8/{value.dtype}/{value}", np.asarray(value))

    def scaled(self, source: str, to: str) -> Iterator[Any]:
        """`to`, the rows of `source` in 8 bits, and `to`/scale, (..., 1), what one step of each is."""
        make, zero = self.helper.make_node, self.how.zero
        if len(self.how.again):
            yield make("Gather", [source, self.constant(f"{to}/channels", self.how.again)], [f"{to}/again"], axis=-1)
            yield make("Concat", [source, f"{to}/again"], [f"{to}/all"], axis=-1)
            yield make("Mul", [f"{to}/all", self.constant(f"{to}/factors", self.how.factors)], [f"{to}/even"])
            source = f"{to}/even"
        for kind, room in (("ReduceMax", 255 - zero), ("ReduceMin", -zero)):
            yield self.reduced(kind, source, f"{to}/{kind}")
            yield make("Mul", [f"{to}/{kind}", self.scalar(np.float32(1 / room))], [f"{to}/{kind}/step"])
        steps = [f"{to}/ReduceMax/step", f"{to}/ReduceMin/step", self.scalar(_TINY)]
        yield make("Max", steps, [f"{to}/scale"])
        yield make("Div", [source, f"{to}/scale"], [f"{to}/steps"])
        yield make("QuantizeLinear", [f"{to}/steps", self.scalar(np.float32(1)), self.scalar(np.uint8(zero))], [to])

    def reduced(self, kind: str, source: str, to: str) -> Any:
        """The largest or smallest number of each row; from opset 18 on the axis is an input."""
        if self.opset < 18:
            return self.helper.make_node(kind, [source], [to], axes=[-1], keepdims=1)
        axes = self.constant("int8/axes", np.array([-1]))
        return self.helper.make_node(kind, [source, axes], [to], keepdims=1)

    def product(self, node: Any, rows: str, steps: str, scales: str) -> Iterator[Any]:
        """A product of bytes, made numbers again by its columns' scales, then by its rows'."""
        make, name, (answer,) = self.helper.make_node, node.name, node.output
        bare = f"{name}/bare" if len(node.input) > 2 else answer
        zero = self.scalar(np.uint8(self.how.zero))
        yield make("MatMulInteger", [rows, steps, zero], [f"{name}/whole"], f"{name}/MatMulInteger")
        yield make("Cast", [f"{name}/whole"], [f"{name}/number"], f"{name}/Cast", to=self.float)
        yield make("Mul", [f"{name}/number", scales], [f"{name}/columns"], f"{name}/Columns")
        yield make("Mul", [f"{name}/columns", f"{rows}/scale"], [bare], f"{name}/Rows")
        if bare != answer:
            yield make("Add", [bare, node.input[2]], [answer], f"{name}/Add")


def _replace_nodes(graph: Any, nodes: dict[str, list[Any]], added: Sequence[Any]) -> None:
    """Put nodes in the places of others, by their names, and drop the weights that nothing reads any more."""
    listed = [new for node in graph.node for new in nodes.get(node.name, [node])]
    listed = [type(node).FromString(node.SerializeToString()) for node in listed]  # they go with the list they are in
    del graph.node[:]
    graph.node.extend(listed)
    for node in graph.node:
        node.name = node.name or node.output[0]
    read = {name for node in graph.node for name in node.input}
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name not in read:
            del graph.initializer[place]
    graph.initializer.extend(added)
