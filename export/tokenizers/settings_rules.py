"""What the JSON files beside a tokenizer must hold, as far as something here depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbgen.export.reading import read_json_if_there
from tbgen.export.values import (
    A_NUMBER,
    A_SWITCH,
    A_TEXT,
    AN_OBJECT,
    Rule,
    Rules,
    check_values,
    list_of,
    object_of,
    object_with,
    whole,
)

_FLAGS = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word", "special"), A_SWITCH)
_ADDED = object_with({"content": A_TEXT}, may_lack=_FLAGS)
_TOKEN = Rule("a token", lambda value: isinstance(value, str) or _ADDED.fits(value)).or_none()
ROLES = ("pad", "mask", "cls", "sep", "unk")  # of tokens that a server knows
EVERY_ROLE = (*ROLES, "bos", "eos")
_TOKENS_BY_ROLE = {f"{role}_token": _TOKEN for role in EVERY_ROLE}
_TOKENS = list_of(_TOKEN).or_none()
_SIDE = Rule('"left" or "right"', lambda value: value in ("left", "right"))
_SWITCHES = (
    *("split_special_tokens", "keep_accents", "do_lower_case", "do_basic_tokenize", "split_by_punct"),
    "clean_up_tokenization_spaces",
)


def _by_id(value: Any) -> bool:
    """Whether it is an object of tokens by their ids."""
    return object_of(_ADDED).fits(value) and all(key.isdecimal() and len(key) < 10 for key in value)


_RULES: dict[str, Rules] = {
    "special_tokens_map.json": {**_TOKENS_BY_ROLE, "additional_special_tokens": _TOKENS},
    "tokenizer_config.json": {
        **_TOKENS_BY_ROLE,
        "additional_special_tokens": _TOKENS,
        "never_split": list_of(A_TEXT).or_none(),
        **dict.fromkeys(("model_max_length", "max_len"), A_NUMBER.or_none()),
        **dict.fromkeys(_SWITCHES, A_SWITCH.or_none()),
        **dict.fromkeys(("truncation_side", "padding_side"), _SIDE),
        "model_input_names": list_of(A_TEXT),
        "auto_map": AN_OBJECT.or_none(),
        "tokenizer_class": A_TEXT.or_none(),
        "added_tokens_decoder": Rule("an object of tokens by id", _by_id),
    },
}


def check_tokenizer_files(folder: Path) -> None:
    """Raise UserError for a value of another type."""
    for name, rules in _RULES.items():
        check_values(read_json_if_there(folder, name), rules, f"{name} in {str(folder)!r}")
    name = "added_tokens.json"
    added = read_json_if_there(folder, name)
    check_values(added, dict.fromkeys(added, whole(0)), f"{name} in {str(folder)!r}")
