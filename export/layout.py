"""The two layouts of an ONNX engine's inputs."""

from __future__ import annotations

PADDED, PACKED = "padded", "packed"
LAYOUTS = (PADDED, PACKED)
LENGTHS = "item_lengths"  # INT32 (rows,): how many elements of the flat inputs belong to each row
