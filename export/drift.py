"""Where a converted engine file leaves the FP32 one: the first nodes whose numbers differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tbgen.export.graphfile import load_graph
from tbgen.export.half import half_run, run_of
from tbgen.export.run import Tensors

# Where activations overflow or lose digits: what comes out of these is compared.
WATCHED = ("MatMul", "Gemm", "Add", "Mul", "Softmax", "LayerNormalization", "Gelu", "BiasGelu", "Attention")


@dataclass(frozen=True)
class Drift:
    """A node, and how far its numbers are off: the largest difference, over the largest number; NaN where one is."""

    node: str
    error: float


def first_drifts(before: Path, after: Path, inputs: Tensors, *, bound: float = 0.01, limit: int = 3) -> list[Drift]:
    """The first nodes, in the order of the graph, whose relative error is beyond `bound`."""
    left, right = load_graph(before), load_graph(after)
    shared = {output for node in right.graph.node for output in node.output}
    watched = {
        node.output[0]: node.name for node in left.graph.node if node.op_type in WATCHED and node.output[0] in shared
    }
    tensors = list(watched)
    numbers = [run_of(left, tensors, optimize=False)(inputs), half_run(after, watched=tensors)(inputs)]
    found = [Drift(name, relative_error(*(side[tensor] for side in numbers))) for tensor, name in watched.items()]
    return [drift for drift in found if not drift.error <= bound][:limit]


def relative_error(want: np.ndarray, have: np.ndarray) -> float:
    """The largest difference over the largest number; NaN or infinite where `have` is."""
    if not np.isfinite(have).all():
        return float("nan")
    scale = float(np.abs(want).max()) or 1.0
    return float(np.abs(want.astype(np.float64) - have).max()) / scale
