"""What the records of exports must hold: export.json, and the export in a model's record."""

from __future__ import annotations

from tbgen.export.tensorrt.profiles import LEAST_TOKENS
from tbgen.export.values import (
    A_NUMBER,
    A_SWITCH,
    A_TEXT,
    FILE_NAME,
    Rule,
    list_of,
    object_of,
    object_with,
    whole,
)

_DATA_TYPES = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {
    *("float16", "float32", "float64", "bfloat16", "bool", "object"),
}
_SIZE = Rule("a size or the name of an open axis", lambda value: isinstance(value, str) or whole(0).fits(value))
_TENSOR = object_with(
    {
        "name": A_TEXT,
        "dtype": Rule("a data type of numpy", lambda value: isinstance(value, str) and value in _DATA_TYPES),
        "shape": list_of(_SIZE),
    }
)
_TENSORS = Rule("a list of tensors, not empty", lambda value: list_of(_TENSOR).fits(value) and bool(value))
_ROWS_AND_TOKENS = Rule(
    "rows and tokens",
    lambda value: list_of(whole(1, 1_000_000)).fits(value) and len(value) == 2 and value[1] >= LEAST_TOKENS,
)
_PROFILES = list_of(object_with(dict.fromkeys(("min", "opt", "max"), _ROWS_AND_TOKENS)))
_BUILD = object_with(
    {"version": A_TEXT, "profiles": _PROFILES},
    may_lack=dict.fromkeys(("gpu", "compute_capability", "triton"), A_TEXT),
)
_MADE = object_with(
    {},
    may_lack={
        **dict.fromkeys(("precision", "layout", "sha256", "weights_sha256", "repository", "revision"), A_TEXT),
        **dict.fromkeys(("chosen", "taken_off", "engine"), A_TEXT),
        **dict.fromkeys(("opset", "ir_version", "hidden"), whole(0)),
        **dict.fromkeys(("source", "versions"), object_of(A_TEXT)),
        "optimized": A_SWITCH,
        "tensorrt": _BUILD,
    },
)
_SENTENCE = object_with(
    {},
    may_lack={
        "prompts": object_of(A_TEXT),
        **dict.fromkeys(("prompt", "activation", "similarity"), A_TEXT.or_none()),
        **dict.fromkeys(("pair", "pooled", "normalize", "include_prompt"), A_SWITCH),
        **dict.fromkeys(("top_k", "truncate_dim"), whole(1).or_none()),
        "pooling": Rule(
            "a text or a list of texts", lambda value: isinstance(value, str) or list_of(A_TEXT).fits(value)
        ),
    },
)
_FIGURES = ("texts", "max_abs", "tolerance", "flips", "decisions")
_PARITY = Rule(
    f"an object, empty or with {', '.join(_FIGURES)}",
    lambda value: value == {} or object_with(dict.fromkeys(_FIGURES, A_NUMBER)).fits(value),
)
_READING = ("split_special_tokens", "lower_case", "token_types", "clean_up_tokenization_spaces")
EXPORT_RULES = {
    "model": FILE_NAME,
    "weights": FILE_NAME.or_none(),
    "tokenizer": FILE_NAME,
    "task": A_TEXT,
    "labels": list_of(A_TEXT),
    "problem": A_TEXT,
    "max_length": whole(1),
    "fixed_length": whole(1).or_none(),
    "inputs": _TENSORS,
    "outputs": _TENSORS,
    "special": object_of(whole(0)),
    "sentence": _SENTENCE,
    "parity": _PARITY,
    "made": _MADE,
    "size": whole(0, 1 << 50),
}
EXPORT_MAY_LACK = {
    "format": whole(0),
    "reading": Rule(
        f"an object of switches, of {', '.join(_READING)}",
        lambda value: object_of(A_SWITCH).fits(value) and value.keys() <= {*_READING},
    ),
}
