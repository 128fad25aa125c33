"""Request parameters as JSON in one of them, as a step that calls another model sends them."""

import json
from contextlib import suppress
from reprlib import repr as short
from typing import Any

from .request_parameters import LONGEST

PACKED = "tbgen_parameters"  # a BLS call of Triton 2.51 carries no fractions
DEEPEST = 16  # objects and arrays in one another


def unpacked(text: str) -> str:
    """The JSON of parameters, with those that one of them holds instead of it. Raises ValueError."""
    if PACKED not in text or len(text) > LONGEST:
        return text
    parameters = json.loads(text)
    packed = parameters.pop(PACKED, "{}")
    with suppress(ValueError, RecursionError):  # whose sentences do not say what a parameter is
        values = json.loads(packed) if isinstance(packed, str) else None
        if isinstance(values, dict) and depth(values) <= DEEPEST:
            return json.dumps(parameters | values)
    raise ValueError(f"parameter {PACKED} takes a JSON object, nested {DEEPEST} deep at most, not {short(packed)}")


def depth(value: Any) -> int:
    """How many objects and arrays lie in one another."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)
