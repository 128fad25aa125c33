"""Values of JSON as an array: the rule of tbgen's commands, of its gateway and of the clients that it writes."""

from __future__ import annotations

import json

import numpy as np


def limits_of(dtype: np.dtype) -> tuple[type | tuple[type, ...], str, float, float]:
    """What an array of a data type holds: the types of JSON's values, these in words, the least and the most."""
    if dtype.kind in "iu":
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        return int, f"whole numbers from {least} to {most}, in digits", least, most
    if dtype.kind == "f":
        largest = float(np.finfo(dtype).max)
        return (int, float), "finite numbers", -largest, largest
    return (bool, "true or false", 0, 1) if dtype.kind == "b" else (str, "texts", 0, 0)


def array_from_json(name: str, dtype: np.dtype, value: object) -> np.ndarray:
    """What an input is given, a value or lists of them, as an array. Raises ValueError for what that does not hold."""
    types, words, least, most = limits_of(dtype)
    array = np.array(value, dtype=object)
    for each in array.ravel().tolist():
        right = isinstance(each, types) and isinstance(each, bool) == (types is bool)
        if not right or (types is not str and not least <= each <= most):
            raise ValueError(f"{name!r} takes {words}, not {json.dumps(each, ensure_ascii=False, default=str)[:80]}")
    return array.astype(dtype)
