"""Request parameters: read from what Triton hands over, and held to the rules that the steps declare."""

import json
import sys
from collections.abc import Collection, Mapping
from reprlib import repr as short
from typing import Any

Rules = Mapping[str, Mapping[str, Any]]

# What a request parameter may be: the type that a rule names (JSON Schema's word) -> Python types.
PARAMETER_TYPES = {"boolean": (bool,), "integer": (int,), "number": (int, float), "object": (dict,), "string": (str,)}
RANGES = {"integer": (-(2**63), 2**63 - 1), "number": (-sys.float_info.max, sys.float_info.max)}  # without other bounds
LONGEST = 65_536  # characters of a request's parameters


def parameters_from_json(text: str, rules: Rules, elsewhere: Collection[str] = ()) -> dict[str, Any]:
    """The checked parameters of a request, without those meant for other models. Raises ValueError."""
    if len(text) > LONGEST:
        raise ValueError(f"its parameters have {len(text)} characters; at most {LONGEST} are read")
    parameters = json.loads(text)
    unknown = sorted(parameters.keys() - rules.keys() - set(elsewhere))
    if unknown:
        known = ", ".join(sorted({*rules, *elsewhere})) or "none"
        raise ValueError(f"no parameter {short(unknown[0])}. Parameters: {known}")
    own = {name: parameters[name] for name in sorted(parameters) if name in rules}
    for name, value in own.items():
        check_parameter(name, value, rules[name])
    return own


def check_parameter(name: str, value: Any, rule: Mapping[str, Any]) -> None:
    """Hold a value against its rule: type, and minimum, maximum or enum where given. Raises ValueError."""
    kind = rule["type"]
    if type(value) not in PARAMETER_TYPES[kind]:  # of which bool is a class of its own, no int
        raise ValueError(f"parameter {name} takes a value of type {kind}, not {short(value)}")
    if "enum" in rule and value not in rule["enum"]:
        raise ValueError(f"parameter {name} takes one of {', '.join(map(str, rule['enum']))}, not {short(value)}")
    if kind in RANGES:
        least, most = RANGES[kind]
        least, most = rule.get("minimum", least), rule.get("maximum", most)
        if not least <= value <= most:
            raise ValueError(f"parameter {name} takes values from {least} to {most}, not {short(value)}")
