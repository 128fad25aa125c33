"""The forms of an ONNX engine's file: the two layouts of its inputs, and the operator set that is written."""

from __future__ import annotations

PADDED, PACKED = "padded", "packed"
LAYOUTS = (PADDED, PACKED)
LENGTHS = "item_lengths"  # INT32 (rows,): how many elements of the flat inputs belong to each row
OPSET = 17
