"""Where a converted engine file leaves the FP32 one, and which layers, kept in FP32, bring it back."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.exported import Exported
from tbgen.export.layout import MODEL_ONNX
from tbgen.export.onnx.graph_file import load_graph
from tbgen.export.parity.parity import Encoder, Parity, engine_run, parity
from tbgen.export.precision.half import half_watch, watch_of
from tbgen.export.precision.precision import Precision, lossy, precision_named
from tbgen.export.precision.samples import Samples
from tbgen.export.run import Run, Tensors, cached_run
from tbgen.export.scratch import scratch
from tbgen.export.tasks.table import graph_of_export

# Where activations overflow or lose digits: what comes out of these is compared.
_WATCHED = ("MatMul", "Gemm", "Add", "Mul", "Softmax", "LayerNormalization", "Gelu", "BiasGelu", "Attention")
_PRODUCTS = ("MatMul", "Gemm", "Attention")  # with weights; what 8 bits are for
_HALF_MOST = 65504.0
_LAYER = 12  # most matrix products of a name's beginning that is still one layer
_NAMED = 3  # how many nodes the message names
_LOOKED_AT = 32  # texts, at most, on which the first drift is looked for
_AT_ONCE = 32  # nodes watched in one run


@dataclass(frozen=True)
class Drift:
    """A node, how far its numbers are off (the largest difference, over the largest number; NaN where one is), and the
    largest number that it gives in FP32.
    """

    node: str
    error: float
    largest: float


def advice(
    before: Path,
    exported: Exported,
    texts: Sequence[str],
    reference: Run,
    bounds: Precision,
    keep: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> str:
    """Where a file that does not hold first drifts, and the command with which it does; empty for FP32.

    `before` is the FP32 file that it was converted from, `keep` what was kept in FP32. Lists of layers are tried, each
    about twice as long as the one before, until one holds against `reference` on the texts.
    """
    precision = exported.made.precision
    if precision == "fp32":
        return ""
    tell("looking for the layers to keep in FP32")

    samples = Samples(exported.tokenizer, exported.max_length, exported.fixed_length, exported.pad_id)
    reference = cached_run(reference)

    def holding(more: Sequence[str]) -> bool:
        with scratch() as folder:
            trial = replace(exported, model=folder / MODEL_ONNX)
            precision_named(precision).convert(before, trial.model, graph_of_export(exported), [*keep, *more], samples)
            return holds(parity(reference, engine_run(trial), Encoder(exported), texts, exported), bounds)

    encode = Encoder(exported)
    drifts = _measured(before, exported.model, (encode([text]) for text in _few(texts)))
    names = ", ".join(f"{drift.node} ({drift.error:.2g})" for drift in _first_drifts(drifts))
    if precision == "int8":
        tried = _growing(lossy(before, graph_of_export(exported), keep, samples), 1)
    else:
        tried = _growing(*_places(load_graph(before).graph, drifts))
    cure = next(filter(holding, tried), None)
    where = f"It first drifts at {names}; " if names else ""
    if cure is None:
        return f"{where}no list of layers kept in FP32 mends that"
    return f"{where}it holds with: {_command(exported, [*keep, *cure])}"


def holds(found: Parity, bounds: Precision) -> bool:
    """Whether a comparison is within a precision's bounds."""
    return found.holds(bounds.tolerance, bounds.agreement)


def _command(exported: Exported, keep: Iterable[str]) -> str:
    """The words that export a file anew, some nodes kept."""
    words = ["tbgen export onnx --precision", exported.made.precision]
    words += ["--layout packed"] if exported.packed else []
    words += ["--optimize"] if exported.made.optimized else []
    words += [f"--fixed-length {exported.fixed_length}"] if exported.fixed_length else []
    return " ".join([*words, *(f"--keep-fp32 {shlex.quote(name)}" for name in _shortest(list(keep)))])


def _shortest(starts: Sequence[str]) -> list[str]:
    """Beginnings of names without those that begin as another does."""
    return [name for name in starts if not any(name != other and name.startswith(other) for other in starts)]


def _measured(before: Path, after: Path, batches: Iterable[Tensors]) -> list[Drift]:
    """How far the nodes that two files share are off in any batch, in the order of the graph.

    Of each node only the largest numbers are kept, and few nodes are watched in one run: memory holds neither the
    inner tensors of many texts nor all those of one.
    """
    left, right = load_graph(before), load_graph(after)
    shared = {output for node in right.graph.node for output in node.output}
    watched = {
        node.output[0]: node.name for node in left.graph.node if node.op_type in _WATCHED and node.output[0] in shared
    }
    tensors = list(watched)
    want, have = watch_of(left, tensors), half_watch(after, tensors)
    found = {tensor: _Extremes() for tensor in tensors}
    for inputs in batches:
        for start in range(0, len(tensors), _AT_ONCE):
            names = tensors[start : start + _AT_ONCE]
            expected, answered = want(inputs, names), have(inputs, names)
            for name in names:
                found[name].take(expected[name], answered[name])
    return [Drift(watched[tensor], extremes.error, extremes.largest) for tensor, extremes in found.items()]


def _few(texts: Sequence[str]) -> Sequence[str]:
    """Texts of all lengths, the longest among them, as many as drifts are looked for on."""
    order = sorted(texts, key=len, reverse=True)
    return order[:: -(-len(order) // _LOOKED_AT)]


def _first_drifts(drifts: Iterable[Drift], *, bound: float = 0.01) -> list[Drift]:
    """The first nodes whose relative error is beyond `bound`."""
    return [drift for drift in drifts if not drift.error <= bound][:_NAMED]


@dataclass
class _Extremes:
    """The largest number of one tensor over many runs, and the largest difference; NaN where `have` is not finite."""

    largest: float = 0.0
    difference: float = 0.0

    def take(self, want: np.ndarray, have: np.ndarray) -> None:
        """One more run."""
        self.largest = max(self.largest, float(np.abs(want).max()))
        difference = float(np.abs(want - have).max()) if np.isfinite(have).all() else float("nan")
        self.difference = float(np.maximum(self.difference, difference))  # NaN stays

    @property
    def error(self) -> float:
        """The largest difference over the largest number."""
        return self.difference / (self.largest or 1.0)


def _places(before: Any, drifts: Sequence[Drift]) -> tuple[list[str], int]:
    """Beginnings of names to keep in FP32 of half precision, and how many of them must be kept at least.

    First what gives or takes numbers that it cannot hold, all of it, then what drifts, in the order of the graph.
    """
    beyond = {drift.node for drift in drifts if drift.largest > _HALF_MOST}
    wide = {output for node in before.node if node.name in beyond for output in node.output}
    overflows = [node.name for node in before.node if wide & {*node.input, *node.output}]
    must = _layers_of(before, overflows)
    return list(dict.fromkeys([*must, *_layers_of(before, (d.node for d in drifts if not d.error <= 1e-3))])), len(must)


def _layers_of(graph: Any, names: Iterable[str]) -> list[str]:
    """For each node the beginning of its name that is its layer's: up to the last slash, unless that is too much."""
    products = [node.name for node in graph.node if node.op_type in _PRODUCTS]
    return list(dict.fromkeys(_layer_of(name, products) for name in names))


def _layer_of(name: str, products: Sequence[str]) -> str:
    """A node's layer, or the node itself where what is named alike is more than a layer."""
    start = name[: name.rfind("/") + 1]
    whole = start in ("", "/") or sum(product.startswith(start) for product in products) > _LAYER
    return name if whole else start


def _growing(names: Sequence[str], least: int) -> Iterator[list[str]]:
    """The first `least` names, then about twice as many, up to all of them."""
    size = max(least, 1)
    while names:
        yield list(names[:size])
        if size >= len(names):
            return
        size *= 2
