"""Request parameters: read from what Triton hands over, and held to the rules that the steps declare."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from reprlib import repr as short
from typing import Any

Rules = Mapping[str, Mapping[str, Any]]

# What a request parameter may be: the type that a rule names (JSON Schema's word) -> Python types.
PARAMETER_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
RANGES = {"integer": (-(2**63), 2**63 - 1), "number": (-sys.float_info.max, sys.float_info.max)}  # without other bounds
PACKED = "tbgen_parameters"  # parameters as JSON in one string: a BLS call of Triton 2.51 carries no fractions
LONGEST, DEEPEST = 65_536, 16  # characters of a request's parameters, and objects and arrays in one another


def parameters_from_json(text: str, rules: Rules, elsewhere: Collection[str] = ()) -> dict[str, Any]:
    """The checked parameters of a request, without those meant for other models. Raises ValueError."""
    if len(text) > LONGEST:
        raise ValueError(f"its parameters have {len(text)} characters; at most {LONGEST} are read")
    parameters = json.loads(text)
    if PACKED in parameters:
        parameters |= unpacked(parameters.pop(PACKED))
    unknown = sorted(parameters.keys() - rules.keys() - set(elsewhere))
    if unknown:
        known = ", ".join(sorted({*rules, *elsewhere})) or "none"
        raise ValueError(f"no parameter {short(unknown[0])}. Parameters: {known}")
    own = {name: parameters[name] for name in sorted(parameters) if name in rules}
    for name, value in own.items():
        check_parameter(name, value, rules[name])
    return own


def unpacked(packed: Any) -> dict[str, Any]:
    """The object that a string is in JSON. Raises ValueError."""
    with suppress(ValueError, RecursionError):  # whose sentences do not say what a parameter is
        values = json.loads(packed) if isinstance(packed, str) else None
        if isinstance(values, dict) and depth(values) <= DEEPEST:
            return values
    raise ValueError(f"parameter {PACKED} takes a JSON object, nested {DEEPEST} deep at most, not {short(packed)}")


def depth(value: Any) -> int:
    """How many objects and arrays lie in one another."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def check_parameter(name: str, value: Any, rule: Mapping[str, Any]) -> None:
    """Hold a value against its rule: type, and minimum, maximum or enum where given. Raises ValueError."""
    kind = rule["type"]
    if not isinstance(value, PARAMETER_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise ValueError(f"parameter {name} takes a value of type {kind}, not {short(value)}")
    if "enum" in rule and value not in rule["enum"]:
        raise ValueError(f"parameter {name} takes one of {', '.join(map(str, rule['enum']))}, not {short(value)}")
    if kind in RANGES:
        least, most = RANGES[kind]
        least, most = rule.get("minimum", least), rule.get("maximum", most)
        if not least <= value <= most:
            raise ValueError(f"parameter {name} takes values from {least} to {most}, not {short(value)}")
