"""The two layouts of an ONNX engine's inputs, and how padded rows are handed to a packed one."""

from __future__ import annotations

import numpy as np

PADDED, PACKED = "padded", "packed"
LAYOUTS = (PADDED, PACKED)
LENGTHS = "item_lengths"  # INT32 (rows,): how many elements of the flat inputs belong to each row


def flat_tensors(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Token tensors (rows, width) as a packed graph takes them: flat, with the rows' widths as Triton adds them."""
    rows, width = next(iter(tensors.values())).shape
    return {name: tensor.reshape(-1) for name, tensor in tensors.items()} | {
        LENGTHS: np.full(rows, width, dtype=np.int32)
    }
