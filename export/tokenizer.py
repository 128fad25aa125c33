"""A checkpoint's tokenizer as one tokenizer.json, the only form that the server reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbgen.export.convert import tokenizer_from_slow
from tbgen.export.errors import UserError, require
from tbgen.export.files import copy_files, read_json_if_there, write_json

# What transformers can make a tokenizer.json of: the files of a slow tokenizer, all of a row.
SLOW = (
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("sentencepiece.bpe.model",),
    ("spiece.model",),
    ("spm.model",),
    ("tokenizer.model",),
)
COPIED = ("tokenizer.json", "special_tokens_map.json", "vocab.txt")
SPECIAL = ("pad", "mask", "cls", "sep", "unk")
# Keys of config files in which transformers keeps the place something was loaded from.
PLACES = ("_name_or_path", "name_or_path", "tokenizer_file", "special_tokens_map_file", "vocab_file", "merges_file")


def check_tokenizer(folder: Path) -> None:
    """Raise UserError when a folder holds neither a tokenizer.json nor anything to make one of."""
    if (folder / "tokenizer.json").is_file() or any(all((folder / n).is_file() for n in row) for row in SLOW):
        return
    known = ", ".join(" + ".join(row) for row in SLOW)
    raise UserError(
        f"no tokenizer.json in {str(folder)!r}, nor what one can be made of ({known}); "
        "save it there with tokenizer.save_pretrained(folder)"
    )


def write_tokenizer(folder: Path, target: Path) -> None:
    """Write the tokenizer of `folder` into `target`: tokenizer.json, copied or converted, and the files beside it."""
    copy_files(folder, target, COPIED)
    settings = read_json_if_there(folder, "tokenizer_config.json")
    if not (folder / "tokenizer.json").is_file():
        tokenizer, special = tokenizer_from_slow(folder)
        tokenizer.save(str(target / "tokenizer.json"))
        settings = {**{f"{role}_token": token for role, token in special.items()}, **settings}
    if settings:
        write_json(target / "tokenizer_config.json", {k: v for k, v in settings.items() if k not in PLACES})


def tokenizer_length(folder: Path) -> int | None:
    """The tokenizer's own limit, in tokens; transformers writes 1e30 where there is none."""
    limit = read_json_if_there(folder, "tokenizer_config.json").get("model_max_length")
    return int(limit) if limit else None


def tokenizer_from_file(path: Path) -> Any:
    """The tokenizer in a tokenizer.json. Raises UserError for a damaged one, and for one of a newer library."""
    tokenizers = require("tokenizers", extra="onnx")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        raise UserError(
            f"{path.name} holds no tokenizer that tokenizers {tokenizers.__version__} can read ({error}); save it "
            "again with tokenizer.save_pretrained(folder)"
        ) from error


def special_ids(folder: Path) -> dict[str, int]:
    """The ids of the tokenizer's special tokens, by their role. Raises UserError when nothing says how to pad."""
    tokenizer = tokenizer_from_file(folder / "tokenizer.json")
    found = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        named = read_json_if_there(folder, name)
        for role in SPECIAL:
            token = named.get(f"{role}_token")
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str) and tokenizer.token_to_id(text) is not None:
                found[role] = tokenizer.token_to_id(text)
    pad = read_json_if_there(folder, "config.json").get("pad_token_id")
    if "pad" not in found:
        if pad is None:
            raise UserError(
                "neither the tokenizer nor config.json names a pad token; texts of unequal length cannot meet"
            )
        found["pad"] = pad
    return found


def check_vocabulary(folder: Path, rows: int) -> None:
    """Raise UserError when the tokenizer.json of `folder` gives ids beyond an embedding of `rows`."""
    tokenizer = tokenizer_from_file(folder / "tokenizer.json")
    token, largest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if largest >= rows:
        raise UserError(
            f"the tokenizer's last id is {largest} ({token!r}), the embedding has {rows} rows; "
            "they belong to two models"
        )
