"""Weights of an ONNX file that are no numbers: NaN, infinity. Whatever reads them answers nonsense."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.checkpoint.weights import broken_sentence
from tbgen.export.errors import UserError, require
from tbgen.export.onnx.graph_file import inner_graphs
from tbgen.export.reading import FETCH_AGAIN, library_reading


def refuse_broken_weights(file: Path, shown: str) -> None:
    """Raise UserError for a file with such weights, and for one that cannot be read."""
    if broken := broken_weights(file):
        raise UserError(f"{shown}: {broken_sentence(broken)}; take a model whose weights are numbers")


def broken_weights(file: Path) -> list[str]:
    """The names of such weights, also of those that lie in files beside, read one by one. Raises UserError.

    Minus infinity alone or among zeros is a mask, which graphs hold as a constant; it means what it says.
    """
    onnx = require("onnx", extra="onnx")
    with library_reading(f"the weights of {str(file)!r} cannot be read", FETCH_AGAIN):
        graph = onnx.load(str(file), load_external_data=False).graph
        return sorted(tensor.name for tensor in _tensors(graph) if _is_broken(onnx, tensor, file.parent))


def _tensors(graph: Any) -> Iterator[Any]:
    """The weights and constants of a graph, and of those inside it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in (attribute for attribute in node.attribute if attribute.HasField("t")):
            attribute.t.name = attribute.t.name or "a constant"
            yield attribute.t
        for inner in inner_graphs(node):
            yield from _tensors(inner)


def _is_broken(onnx: Any, tensor: Any, folder: Path) -> bool:
    """Whether a tensor holds NaN or infinity, and is no mask."""
    kinds = onnx.TensorProto
    if tensor.data_type not in (kinds.FLOAT, kinds.FLOAT16, kinds.BFLOAT16, kinds.DOUBLE):
        return False
    values = onnx.numpy_helper.to_array(tensor, str(folder))
    return not (np.isfinite(values).all() or ((values == 0) | (values == -np.inf)).all())
