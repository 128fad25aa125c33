"""Exports with one token whose embedding is no number: texts with it have NaN for an answer, all others their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from tbgen.export.exported import Exported


def with_broken_token(exported: Exported, file: Path, token_id: int, value: float = np.nan) -> Exported:
    """An export whose engine is written to `file`, with `value` for the embedding of a token where a text has it."""
    model = onnx.load(exported.model)
    tables = {tensor.name: tensor for tensor in model.graph.initializer if len(tensor.dims) == 2}
    lookups = [node for node in model.graph.node if node.op_type == "Gather" and node.input[0] in tables]
    largest = max(lookups, key=lambda node: tables[node.input[0]].dims[0])
    table = onnx.numpy_helper.to_array(tables[largest.input[0]]).copy()
    table[token_id] = value
    largest.input[0] = "broken_table"
    model.graph.initializer.append(onnx.numpy_helper.from_array(table, "broken_table"))
    onnx.save(model, file)
    return replace(exported, model=file)
