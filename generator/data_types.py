"""Triton's data types: what each is called in a config, in numpy and in ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class _DataType:
    """One data type: its name in a config, its numpy type, its name and its number in ONNX."""

    name: str
    numpy: Any
    onnx: str
    onnx_number: int


NOT_IN_JSON = ("FP16", "BF16")  # names on the wire of types that JSON cannot carry
# In the order in which Triton numbers them, from 1 on.
DATA_TYPES = (
    _DataType("TYPE_BOOL", bool, "bool", 9),
    _DataType("TYPE_UINT8", np.uint8, "uint8", 2),
    _DataType("TYPE_UINT16", np.uint16, "uint16", 4),
    _DataType("TYPE_UINT32", np.uint32, "uint32", 12),
    _DataType("TYPE_UINT64", np.uint64, "uint64", 13),
    _DataType("TYPE_INT8", np.int8, "int8", 3),
    _DataType("TYPE_INT16", np.int16, "int16", 5),
    _DataType("TYPE_INT32", np.int32, "int32", 6),
    _DataType("TYPE_INT64", np.int64, "int64", 7),
    _DataType("TYPE_FP16", np.float16, "float16", 10),
    _DataType("TYPE_FP32", np.float32, "float", 1),
    _DataType("TYPE_FP64", np.float64, "double", 11),
    _DataType("TYPE_STRING", np.object_, "string", 8),
)
INVALID = "TYPE_INVALID"  # Triton's name for what it has no type for

NUMPY = {row.name: row.numpy for row in DATA_TYPES}
FROM_NUMPY = {np.dtype(row.numpy).name: row.name for row in DATA_TYPES}  # "float32" -> "TYPE_FP32"
FROM_ONNX = {f"tensor({row.onnx})": row.name for row in DATA_TYPES}
FROM_ONNX_NUMBER = {row.onnx_number: row.name for row in DATA_TYPES}
TO_ONNX = {name: onnx for onnx, name in FROM_ONNX.items()}


def data_type_of(array: np.ndarray) -> str:
    """The data type of an array's values; texts are objects or bytes."""
    return "TYPE_STRING" if array.dtype.kind in "OS" else FROM_NUMPY.get(array.dtype.name, INVALID)


def protocol_name(data_type: str) -> str:
    """A data type as requests and Triton's sentences name it: FP32, BYTES."""
    return {"TYPE_STRING": "BYTES", INVALID: "<invalid>"}.get(data_type, data_type.removeprefix("TYPE_"))
