"""Request parameters: read from what Triton hands over, and held to the rules that the steps declare."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
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
PACKED = "tbgen_parameters"  # parameters as JSON in one string: a BLS call of Triton 2.51 carries no fractions


def parameters_from_json(text: str, rules: Rules, elsewhere: Collection[str] = ()) -> dict[str, Any]:
    """The checked parameters of a request, without those meant for other models. Raises ValueError."""
    parameters = json.loads(text)
    if PACKED in parameters:
        packed = parameters.pop(PACKED)
        values = json.loads(packed) if isinstance(packed, str) else None
        if not isinstance(values, dict):
            raise ValueError(f"parameter {PACKED} takes a JSON object, not {packed!r}")
        parameters |= values
    unknown = sorted(parameters.keys() - rules.keys() - set(elsewhere))
    if unknown:
        known = ", ".join(sorted({*rules, *elsewhere})) or "none"
        raise ValueError(f"no parameter {unknown[0]!r}. Parameters: {known}")
    own = {name: parameters[name] for name in sorted(parameters) if name in rules}
    for name, value in own.items():
        check_parameter(name, value, rules[name])
    return own


def check_parameter(name: str, value: Any, rule: Mapping[str, Any]) -> None:
    """Hold a value against its rule: type, and minimum, maximum or enum where given. Raises ValueError."""
    kind = rule["type"]
    if not isinstance(value, PARAMETER_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise ValueError(f"parameter {name} takes a value of type {kind}, not {value!r}")
    if "enum" in rule and value not in rule["enum"]:
        raise ValueError(f"parameter {name} takes one of {', '.join(map(str, rule['enum']))}, not {value!r}")
    if kind in ("integer", "number"):
        least, most = rule.get("minimum", float("-inf")), rule.get("maximum", float("inf"))
        if not least <= value <= most:
            raise ValueError(f"parameter {name} takes values from {least} to {most}, not {value!r}")
