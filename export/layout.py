"""The forms of an ONNX engine's file: the two layouts of its inputs, the operator set; what files are called."""

from __future__ import annotations

PADDED, PACKED = "padded", "packed"
LAYOUTS = (PADDED, PACKED)
LENGTHS = "item_lengths"  # INT32 (rows,): how many elements of the flat inputs belong to each row
OPSET = 17
MODEL_ONNX, MODEL_PLAN, TOKENIZER_JSON = "model.onnx", "model.plan", "tokenizer.json"  # files of exports and models
