"""What the values of a file from outside must be, in words and as a test of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tbgen.export.errors import UserError


@dataclass(frozen=True)
class Rule:
    """What a value must be; null stands for its absence where it is `optional`."""

    what: str
    fits: Callable[[Any], bool]
    optional: bool = False

    def takes(self, value: Any) -> bool:
        """Whether a value is as the rule says."""
        return (self.optional and value is None) or self.fits(value)

    def or_none(self) -> Rule:
        """The same rule, which takes null too."""
        return Rule(f"{self.what} or null", self.fits, optional=True)


_LONGEST_NAME = 255  # bytes
Rules = Mapping[str, Rule]
A_TEXT = Rule("a text", lambda value: isinstance(value, str))
A_SWITCH = Rule("true or false", lambda value: type(value) is bool)
A_NUMBER = Rule("a number", lambda value: type(value) in (int, float))
AN_OBJECT = Rule("an object", lambda value: isinstance(value, dict))
FILE_NAME = Rule(
    "the name of a file beside it",
    lambda value: (
        isinstance(value, str)
        and value not in ("", ".", "..")
        and not {"/", "\\", "\0"} & set(value)
        and len(value.encode()) <= _LONGEST_NAME
    ),
)


def whole(least: int, most: int = 10_000_000, *, optional: bool = False) -> Rule:
    """A whole number within bounds: what sizes a model must not fill the memory of who reads it."""
    return Rule(
        f"a whole number from {least} on, at most {most:,}", lambda n: type(n) is int and least <= n <= most, optional
    )


def list_of(rule: Rule) -> Rule:
    """A list whose values are all as a rule says."""
    return Rule(f"a list, each {rule.what}", lambda value: isinstance(value, list) and all(map(rule.takes, value)))


def object_of(rule: Rule) -> Rule:
    """An object whose values are all as a rule says."""
    return Rule(
        f"an object, each value {rule.what}",
        lambda value: isinstance(value, dict) and all(map(rule.takes, value.values())),
    )


def object_with(rules: Rules, *, may_lack: Rules | None = None) -> Rule:
    """An object with these keys, and perhaps those that it `may_lack`; others are not looked at."""
    known = {**rules, **(may_lack or {})}
    return Rule(
        f"an object that says {', '.join(known)}",
        lambda value: not damage_of(value, rules, may_lack or {}),
    )


def wrong_key(values: Mapping[str, Any], rules: Rules) -> str | None:
    """The first key whose value is not as its rule says."""
    return next((key for key, value in values.items() if key in rules and not rules[key].takes(value)), None)


def check_values(values: Mapping[str, Any], rules: Rules, shown: str) -> None:
    """Raise UserError for a value that is not as its rule says; keys without one may hold anything."""
    key = wrong_key(values, rules)
    if key is not None:
        raise UserError(f"{shown} says {_wrong(values, rules, key)}")


def damage_of(record: Any, rules: Rules, may_lack: Rules) -> str:
    """What is wrong with a record that has these keys, and perhaps those that it `may_lack`; nothing where all fits."""
    if not isinstance(record, dict):
        return "it is no object"
    if missing := [key for key in rules if key not in record]:
        return f"it does not say {missing[0]}"
    known = {**rules, **may_lack}
    key = wrong_key(record, known)
    return "" if key is None else _wrong(record, known, key)


def _wrong(values: Mapping[str, Any], rules: Rules, key: str) -> str:
    """A wrong value, and what it must be."""
    value = json.dumps(values[key], ensure_ascii=False, default=str)
    short = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."
    return f"{key}: {short}; it must be {rules[key].what}"


_SHOWN = 80  # characters of a wrong value
