"""transformers' own tokenizer of a folder: it reads every setting of every file there, and is asked for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.reading import library_reading

SAVE_AGAIN = "save it again with tokenizer.save_pretrained(folder)"


def auto_tokenizer(folder: Path, config: Mapping[str, Any]) -> Any:
    """transformers' own tokenizer of a folder, `config` its model's. Raises UserError for one that it cannot load."""
    transformers = require("transformers", extra="onnx")
    what = f"transformers {transformers.__version__} cannot load the tokenizer of {str(folder)!r}"
    with library_reading(what, SAVE_AGAIN):
        return transformers.AutoTokenizer.from_pretrained(
            folder, config=_config(config), local_files_only=True, trust_remote_code=False
        )


def python_only(folder: Path, name: str) -> UserError:
    """What to say of a tokenizer class that no server can run."""
    return UserError(
        f"the tokenizer of {str(folder)!r} is a {name}, which exists only in Python; "
        "tbgen serves tokenizers that can be saved as tokenizer.json"
    )


def _config(config: Mapping[str, Any]) -> Any:
    """Of a model's configuration what a tokenizer's class depends on: its family, its name, and the class named."""
    transformers = require("transformers", extra="onnx")
    family, named = config.get("model_type"), config.get("tokenizer_class")
    known = family in transformers.CONFIG_MAPPING
    found = transformers.AutoConfig.for_model(family) if known else transformers.PreTrainedConfig()
    found.tokenizer_class = named if isinstance(named, str) else None
    if isinstance(model := config.get("model_name"), str):  # some are read otherwise than their files say
        found.model_name = model
    return found


def class_of_tokenizer(settings: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """The class that tokenizer_config.json or config.json names, else the family's; None for one that is not there."""
    transformers = require("transformers", extra="onnx")
    names = require("transformers.models.auto.tokenization_auto", extra="onnx").TOKENIZER_MAPPING_NAMES
    of_family = names.get(config.get("model_type"), "PreTrainedTokenizerFast")
    return getattr(transformers, named_tokenizer(settings, config) or of_family, None)


def named_tokenizer(settings: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The name of a tokenizer's class in tokenizer_config.json, else in config.json; empty where there is none."""
    return str(settings.get("tokenizer_class") or config.get("tokenizer_class") or "")
