"""config.json as transformers 5 reads it: the keys that decide anything here, their types, defaults and refusals.

docs/reference/checkpoint-files.md has the table of all keys. What is read here is read before anything long is done;
transformers' own reading of the whole file comes when the model is built (export/checkpoint/pytorch.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.lookalikes import cure
from tbgen.export.errors import UserError, require
from tbgen.export.families import FAMILIES, positions_of
from tbgen.export.reading import read_json
from tbgen.export.values import A_SWITCH, FILE_NAME, Rule, check_values, whole

_MOST_LABELS = 1_000_000
_PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")
_SIGMOID_MEND = 'write "regression" for a number, or "multi_label_classification" for a label that is right or wrong'


_VALUE_RULES: dict[str, Rule] = {
    "model_type": Rule("a family's name", lambda value: isinstance(value, str)),
    "architectures": Rule(
        'a list of class names, such as ["BertForSequenceClassification"]',
        lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
        optional=True,
    ),
    "id2label": Rule(
        'an object of the classes by number, such as {"0": "negative", "1": "positive"}',
        lambda value: isinstance(value, dict) and bool(value) and all(map(_is_class, value.items())),
        optional=True,
    ),
    "label2id": Rule(
        'an object of the numbers by class, such as {"negative": 0, "positive": 1}',
        lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
        optional=True,
    ),
    "num_labels": whole(1, _MOST_LABELS, optional=True),
    "problem_type": Rule(f"one of {', '.join(_PROBLEMS)}", lambda value: value in _PROBLEMS, optional=True),
    "pad_token_id": Rule("a whole number or null", lambda value: value is None or whole(-1).fits(value)),
    "vocab_size": whole(1),
    "max_position_embeddings": whole(1),
    "type_vocab_size": whole(0),
    "is_decoder": A_SWITCH,
    "add_cross_attention": A_SWITCH,
    "is_causal": A_SWITCH.or_none(),
    "transformers_weights": Rule(
        "the name of a .safetensors file beside it, or of a .safetensors.index.json",
        lambda value: FILE_NAME.fits(value) and value.endswith((".safetensors", ".safetensors.index.json")),
        optional=True,
    ),
}
# Its width, heads and layers, under the names of each family; the width must be a whole multiple of the heads.
_SIZES = (("hidden_size", "dim"), ("num_attention_heads", "n_heads"))
_VALUE_RULES |= {
    **{name: whole(1) for names in _SIZES for name in names},
    **{name: whole(1) for name in ("intermediate_size", "hidden_dim")},
    **{name: whole(1, 1_000) for name in ("num_hidden_layers", "n_layers", "num_hidden_groups", "inner_group_num")},
}
_LEAST = 2  # tokens of a text
# Keys that decide something here, and are not in every config.json: transformers says what it takes then.
DEFAULTED = (*(name for name, _ in _SIZES), "vocab_size", "max_position_embeddings", "type_vocab_size", "pad_token_id")


def config_from_folder(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint of a known family. Raises UserError for whatever is wrong with it."""
    saved = "a checkpoint's folder has one; save it with model.save_pretrained(folder)"
    return encoder_config(read_json(folder, "config.json", cure(folder, saved)))


def encoder_config(raw: dict[str, Any]) -> dict[str, Any]:
    """A config.json as transformers takes it: checked, its classes and its family's defaults written out.

    Raises UserError for a value of another type, an unknown family, and what would be answered otherwise than in
    training.
    """
    config = checked_config(raw)
    family = config.get("model_type")
    if family not in FAMILIES:
        name = f"no encoder family {family!r}" if family else "config.json does not name its family (model_type)"
        raise UserError(
            f"{name}. Encoder families: {', '.join(sorted(FAMILIES))}. A model of another one can be served from an "
            "ONNX file that was made elsewhere: --source model.onnx --tokenizer DIR"
        )
    theirs = require("transformers", extra="onnx").AutoConfig.for_model(family)
    names = {key: theirs.attribute_map.get(key, key) for key in DEFAULTED if hasattr(theirs, key)}  # a family's own
    config |= {own: getattr(theirs, own) for key, own in names.items() if not {key, own} & config.keys()}
    _check_sizes(config, typed=bool(getattr(theirs, "type_vocab_size", 0)))
    for refuse in _REFUSALS:
        refuse(config)
    return config


def checked_config(raw: dict[str, Any]) -> dict[str, Any]:
    """A config.json of any family: its values are of the right types, and id2label names all classes.

    null is left out where it stands for absence. Raises UserError.
    """
    absent = {key for key, value in raw.items() if value is None and key in _VALUE_RULES and _VALUE_RULES[key].optional}
    config = {key: value for key, value in raw.items() if key not in absent}
    check_values(config, _VALUE_RULES, "config.json")
    if files := config.get("configuration_files"):
        raise UserError(
            f"config.json says configuration_files: {json.dumps(files)}, of which transformers takes the one for its "
            "version instead; copy that one over config.json"
        )
    count = config.pop("num_labels", None)
    config.setdefault("id2label", {str(index): f"LABEL_{index}" for index in range(count or 2)})
    labels = own_labels(config)
    if count not in (None, len(labels)):
        raise UserError(
            f"config.json says num_labels: {count}, its id2label has {len(labels)} ({', '.join(labels)}); transformers "
            "would take the number and forget the names: leave num_labels out, or name them all"
        )
    if len(labels) == 1 and config.get("problem_type") == _PROBLEMS[0]:
        raise UserError(
            f"config.json says problem_type: {_PROBLEMS[0]}, with one label, {labels[0]!r}, which transformers "
            f"refuses; {_SIGMOID_MEND}"
        )
    return config


def _is_class(item: tuple[Any, Any]) -> bool:
    """Whether an entry of id2label is a number, as JSON writes keys, and a name."""
    index, label = item
    return _is_number(index) and isinstance(label, (str, int, float))


def _is_number(value: Any) -> bool:
    """Whether a value is the number of a class, as a number or as a text."""
    return type(value) in (int, str) and str(value).isdecimal() and len(str(value)) <= len(str(_MOST_LABELS))


def own_labels(config: dict[str, Any]) -> tuple[str, ...]:
    """The classes of config.json in the order of their numbers; two nameless ones where it has none."""
    id2label = {int(index): str(label) for index, label in config.get("id2label", {0: "LABEL_0", 1: "LABEL_1"}).items()}
    if sorted(id2label) != list(range(len(id2label))):
        raise UserError(f"id2label of config.json has the numbers {sorted(id2label)}, not 0 to {len(id2label) - 1}")
    return tuple(id2label[index] for index in range(len(id2label)))


def _check_sizes(config: dict[str, Any], *, typed: bool) -> None:
    """Raise UserError for sizes that contradict one another. `typed`: the family's tokens have types."""
    width, heads = (config[name] if name in config else config[own] for name, own in _SIZES)
    if width % heads:
        raise UserError(
            f"config.json says hidden_size {width} and num_attention_heads {heads}; the width must be a whole multiple "
            "of the heads"
        )
    family = config["model_type"]
    if positions_of(config) < _LEAST:
        raise UserError(
            f"config.json says max_position_embeddings: {config['max_position_embeddings']}, which places "
            f"{max(positions_of(config), 0)} tokens of {family}; a text has {_LEAST} at least, its first and its last"
        )
    if typed and not config["type_vocab_size"]:
        raise UserError(f"config.json says type_vocab_size: 0; {family} has one type of text or more")


def _refuse_quantized(config: dict[str, Any]) -> None:
    """Raise UserError for weights that only a quantisation library can read."""
    for key in ("quantization_config", "compression_config"):
        if found := config.get(key):
            method = str(found.get("quant_method", "unnamed")) if isinstance(found, dict) else "unnamed"
            way = ": model.dequantize(), then model.save_pretrained(folder)" if method in _DEQUANTIZING else ""
            raise UserError(
                f"config.json has a {key} ({method}): the weights are no plain numbers; take the checkpoint that was "
                f"quantised, or save the weights dequantised{way}, without that key. tbgen quantises by itself: "
                "--engine onnx_int8"
            )


def _refuse_own_code(config: dict[str, Any]) -> None:
    """Raise UserError for a model that is Python code beside the weights."""
    auto_map = config.get("auto_map")
    classes = auto_map if isinstance(auto_map, dict) else {}
    if own := sorted({str(name) for auto, name in classes.items() if auto.startswith("AutoModel")}):
        raise UserError(
            f"auto_map of config.json names code of the checkpoint's own ({', '.join(own)}), which tbgen does not "
            f"run; where the {config['model_type']} of transformers answers alike, take auto_map out, else export it "
            "to ONNX yourself: --source model.onnx"
        )


def _refuse_decoder(config: dict[str, Any]) -> None:
    """Raise UserError for a model whose tokens see only those before them."""
    keys = ("is_decoder", "add_cross_attention") if config["model_type"] in _DECODERS else ()
    if on := [key for key in (*keys, "is_causal") if config.get(key)]:
        raise UserError(
            f"config.json says {on[0]}: true, so each token reads only those before it; tbgen serves encoders. If it "
            "was trained as one, write false"
        )


def _refuse_forgotten(config: dict[str, Any]) -> None:
    """Raise UserError for what transformers 4 computed and 5 no longer does, without a word."""
    positions = config.get("position_embedding_type") or "absolute"
    if positions != "absolute" and config["model_type"] in _RELATIVE:
        raise UserError(
            f"config.json says position_embedding_type: {json.dumps(positions)}, which transformers 5 no longer "
            "computes: it would answer otherwise than in training. Export it to ONNX with transformers 4, and name "
            "that file: --source model.onnx"
        )
    if config.get("pruned_heads") and config["model_type"] in _PRUNED:
        raise UserError(
            "config.json has pruned_heads, which transformers 5 no longer builds; export it to ONNX with "
            "transformers 4, and name that file: --source model.onnx"
        )


_DECODERS = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
_RELATIVE = _DECODERS | {"albert"}
_PRUNED = _RELATIVE | {"distilbert", "mpnet"}
_DEQUANTIZING = {"bitsandbytes"}
_REFUSALS = (_refuse_quantized, _refuse_own_code, _refuse_decoder, _refuse_forgotten)
