"""Tensors of the stand-in for `triton_python_backend_utils`: named arrays, and numpy's types as Triton numbers them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbgen.generator.data_types import DATA_TYPES, FROM_NUMPY, NUMPY


class TritonModelException(Exception):
    """What the calls of this module raise."""


class Tensor:
    """A named array."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"a Tensor is made of a numpy array, not of {array!r}")
        if numpy_to_triton_type(array.dtype) is None:
            raise TritonModelException("NumPy dtype is not supported.")
        self._name = name
        self._array = array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def triton_dtype(self) -> int:
        """Fails as Triton's does, which gives a type that Python does not know."""
        raise TypeError("Unable to convert function return value to a Python type")

    def is_cpu(self) -> bool:
        return True


def triton_to_numpy_type(data_type: int) -> Any:
    """The numpy type of one of Triton's numbers, 1 (BOOL) to 13 (BYTES)."""
    return np.dtype(DATA_TYPES[data_type - 1].numpy).type if 1 <= data_type <= len(DATA_TYPES) else None


def numpy_to_triton_type(data_type: Any) -> int | None:
    """Triton's number of a numpy type."""
    kind = np.dtype(data_type)
    name = "TYPE_STRING" if kind.kind == "S" else FROM_NUMPY.get(kind.name)
    return list(NUMPY).index(name) + 1 if name else None


def triton_string_to_numpy(triton_type_string: str) -> Any:
    return NUMPY[triton_type_string]


def array_as_sent(array: np.ndarray) -> np.ndarray:
    """An array as it is on its other side: one piece, texts as bytes."""
    if array.dtype.kind not in "OS":
        return np.ascontiguousarray(array).reshape(array.shape)
    raw = [value if isinstance(value, bytes) else str(value).encode("utf-8") for value in array.ravel().tolist()]
    filled = np.empty(len(raw), dtype=object)
    filled[:] = raw
    return filled.reshape(array.shape)
