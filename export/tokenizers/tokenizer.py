"""A checkpoint's tokenizer, read by transformers, as one tokenizer.json, the only form that the server reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.files import copy_files, write_json
from tbgen.export.layout import TOKENIZER_JSON
from tbgen.export.reading import is_there, json_from_text, read_json_if_there, reason_of, text_from_file
from tbgen.export.tokenizers.auto_tokenizer import SAVE_AGAIN, auto_tokenizer, class_of_tokenizer, python_only
from tbgen.export.tokenizers.convert import tokenizer_from_slow
from tbgen.export.tokenizers.settings_rules import ROLES, check_tokenizer_files
from tbgen.export.tokenizers.trial import failure_of_tokenizer

# What transformers can make a tokenizer.json of: the files of a slow tokenizer, all of a row.
_SLOW = (
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("sentencepiece.bpe.model",),
    ("spiece.model",),
    ("spm.model",),
    ("tokenizer.model",),
)
_COPIED = ("special_tokens_map.json", "vocab.txt")
TYPES = "token_type_ids"
# Where a library's encoding has what a model's input takes.
COLUMNS = {"input_ids": "ids", "attention_mask": "attention_mask", TYPES: "type_ids"}
CLEAN_UP = "clean_up_tokenization_spaces"
_CLEAN_UP_BPE = f"{CLEAN_UP}_for_bpe_even_though_it_will_corrupt_output"
# Keys of config files in which transformers keeps the place something was loaded from.
PLACES = ("_name_or_path", "name_or_path", "tokenizer_file", "special_tokens_map_file", "vocab_file", "merges_file")
_UNBOUNDED = 1_000_000  # a limit beyond it is how transformers says that there is none


@dataclass(frozen=True)
class TokenizerReading:
    """A folder's tokenizer files as their library reads them.

    tokenizer: the tokenizers.Tokenizer; the side that it cuts long texts at is in its truncation.
    max_length: the longest text, in tokens; None without a limit.
    types: whether it gives token types. A model then reads 0 for every token.
    special: the ids of the tokens that have a role (pad, mask, cls, sep, unk).
    settings: what a tokenizer.json cannot hold, as in Exported.reading.
    slow: whether it was made of a slow tokenizer's files, which transformers 5 reads otherwise (convert.py).
    padding_side: left or right.
    """

    folder: Path
    tokenizer: Any = field(compare=False)
    max_length: int | None
    types: bool
    special: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False
    padding_side: str = "right"

    @property
    def special_tokens(self) -> list[str]:
        """The tokens that have a role, as they are written."""
        return written_tokens(self.tokenizer, self.special)


def written_tokens(tokenizer: Any, special: Mapping[str, int]) -> list[str]:
    """The tokens of a tokenizers.Tokenizer that have these roles, each once."""
    return [str(tokenizer.id_to_token(number)) for number in dict.fromkeys(special.values())]


def check_tokenizer(folder: Path) -> None:
    """Raise UserError when a folder holds neither a tokenizer.json nor anything to make one of."""
    if is_there(folder / TOKENIZER_JSON) or any(all((folder / n).is_file() for n in row) for row in _SLOW):
        return
    known = ", ".join(" + ".join(row) for row in _SLOW)
    raise UserError(
        f"no tokenizer.json in {str(folder)!r}, nor what one can be made of ({known}); "
        "save it there with tokenizer.save_pretrained(folder)"
    )


def reading_of_tokenizer(folder: Path, config: Mapping[str, Any], *, lower_case: bool = False) -> TokenizerReading:
    """What transformers makes of a folder's tokenizer files.

    config: the model's config.json, for folders without one. lower_case: whether sentence-transformers lower-cases a
    text before. Raises UserError for files that transformers cannot read, and when nothing says how to pad.
    """
    check_tokenizer(folder)
    check_tokenizer_files(folder)
    slow = not is_there(folder / TOKENIZER_JSON)
    tokenizer, tokens, settings = (_slow if slow else _fast)(folder, config)
    if lower_case:
        _lower_first(tokenizer)
    limit = settings["model_max_length"]
    return TokenizerReading(
        folder,
        _cutting(tokenizer, settings.get("truncation_side", "right")),
        int(limit) if limit and limit < _UNBOUNDED else None,
        TYPES in settings["model_input_names"],
        _special(tokenizer, tokens, config),
        {name: True for name in ("split_special_tokens", CLEAN_UP) if settings.get(name)},
        slow,
        settings.get("padding_side") or "right",
    )


Files = tuple[Any, Mapping[str, Any], Mapping[str, Any]]  # a tokenizers.Tokenizer, its tokens by role, its settings


def _fast(folder: Path, config: Mapping[str, Any]) -> Files:
    """What transformers makes of a folder with a tokenizer.json."""
    tokenizer_from_file(folder / TOKENIZER_JSON)  # a damaged one gets a sentence
    made = auto_tokenizer(folder, config)
    rust = getattr(made, "backend_tokenizer", None)
    if rust is None:
        raise python_only(folder, type(made).__name__)
    if getattr(rust.model, "dropout", None):
        raise UserError(
            f"tokenizer.json in {str(folder)!r} drops merges at random (dropout {rust.model.dropout:g}), so a text has "
            "no one answer; set its dropout to null"
        )
    names = (
        "model_max_length",
        "truncation_side",
        "padding_side",
        "model_input_names",
        "split_special_tokens",
        CLEAN_UP,
        _CLEAN_UP_BPE,
    )
    tokens = {role: getattr(made, f"{role}_token") for role in ROLES}
    return rust, tokens, _cleaning(rust, {name: getattr(made, name) for name in names})


def _slow(folder: Path, config: Mapping[str, Any]) -> Files:
    """The same for a slow tokenizer's files, by the rules of the slow classes that wrote them (convert.py)."""
    settings = read_json_if_there(folder, "tokenizer_config.json")
    tokenizer, tokens = tokenizer_from_slow(folder, config)
    names = class_of_tokenizer(settings, config).model_input_names
    defaults = {"model_max_length": settings.get("max_len"), "model_input_names": names}
    return tokenizer, tokens, _cleaning(tokenizer, {**defaults, **settings})


def _cleaning(tokenizer: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, of which transformers passes over CLEAN_UP for BPE, unless another key insists on it."""
    cleans = type(tokenizer.model).__name__ != "BPE" or settings.get(_CLEAN_UP_BPE)
    return settings if cleans else {**settings, CLEAN_UP: False}


def _lower_first(tokenizer: Any) -> None:
    """Put small letters before all else that becomes of words, as sentence-transformers does; special tokens stay."""
    normalizers, own = require("tokenizers", extra="onnx").normalizers, tokenizer.normalizer
    steps = list(own) if isinstance(own, normalizers.Sequence) else [own] if own is not None else []
    if not any(isinstance(step, normalizers.Lowercase) for step in steps):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])


def _cutting(tokenizer: Any, side: str) -> Any:
    """The tokenizer, neither padding nor cutting but for the side that long texts are to be cut at."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if side == "left":
        tokenizer.enable_truncation(_UNBOUNDED, direction=side)
    return tokenizer


def _special(tokenizer: Any, tokens: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, int]:
    """The ids of the tokens that have a role. Raises UserError when nothing says how to pad."""
    ids = {role: tokenizer.token_to_id(str(token)) for role, token in tokens.items() if token and role in ROLES}
    found = {role: number for role, number in ids.items() if number is not None}
    if "pad" not in found and config.get("pad_token_id") is None:
        raise UserError("neither the tokenizer nor config.json names a pad token; texts of unequal length cannot meet")
    return {"pad": config.get("pad_token_id"), **found}


def write_tokenizer(reading: TokenizerReading, target: Path) -> None:
    """Write tokenizer.json into `target`, and the files that lay beside the tokenizer."""
    reading.tokenizer.save(str(target / TOKENIZER_JSON))
    copy_files(reading.folder, target, _COPIED)
    settings = read_json_if_there(reading.folder, "tokenizer_config.json")
    if settings:
        write_json(target / "tokenizer_config.json", {k: v for k, v in settings.items() if k not in PLACES})


def tokenizer_from_file(path: Path) -> Any:
    """The tokenizer in a tokenizer.json. Raises UserError for a damaged one, and for one of a newer library."""
    return require("tokenizers", extra="onnx").Tokenizer.from_str(text_of_tokenizer(path))


def text_of_tokenizer(path: Path) -> str:
    """A tokenizer.json's text, which the library can read. Raises UserError."""
    text = text_from_file(path)
    if why := _unfit(json_from_text(text, repr(str(path)))) or failure_of_tokenizer(text):
        version = require("tokenizers", extra="onnx").__version__
        what = f"{path.name} holds no tokenizer that tokenizers {version} can read"
        raise UserError(f"{what} ({reason_of(ValueError(why))}); {SAVE_AGAIN}")
    return text


def _unfit(value: Any) -> str:
    """What a tokenizer.json holds that the libraries do not survive; "" for nothing of that kind."""
    model = value.get("model") if isinstance(value, dict) else None
    if not isinstance(model, dict):
        return ""
    if isinstance(words := model.get("vocab"), dict):  # transformers 5.17 makes a list as long as the largest id
        beyond = (token for token, number in words.items() if isinstance(number, int) and number > _LAST_ID)
        if (token := next(beyond, None)) is not None:
            return f"the id of {token!r} is {words[token]}, and {_LAST_ID:,} is the last one that a vocabulary has"
    if not isinstance(model.get("merges"), list):
        return ""
    prefix = model.get("continuing_subword_prefix")
    pairs = [each.split(" ") if isinstance(each, str) else each for each in model["merges"]]
    seconds = [pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str)]
    fit = not isinstance(prefix, str) or all(each.startswith(prefix) for each in seconds)  # else the process ends
    return "" if fit else "its merges lack the prefix of continuing subwords"


_LAST_ID = 9_999_999


def check_vocabulary(tokenizer: Any, rows: int) -> None:
    """Raise UserError when a tokenizers.Tokenizer gives ids beyond an embedding of `rows`."""
    token, largest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if largest >= rows:
        raise UserError(
            f"the tokenizer's last id is {largest} ({token!r}), the embedding has {rows} rows; "
            "they belong to two models"
        )
