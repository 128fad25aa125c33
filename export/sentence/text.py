"""What sentence-transformers does with a text before the model: its longest length, and lower case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.reading import read_json_if_there
from tbgen.export.sentence.keys import check_keys

# The names that the file had, by the class of the model; the first that is there and not empty counts.
TEXT_CONFIGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# transformer_task -> what it takes of the model's answer, and what the library calls that.
_OUTPUTS = {
    "feature-extraction": ("last_hidden_state", "token_embeddings"),
    "sequence-classification": ("logits", "scores"),
    "fill-mask": ("logits", "token_embeddings"),
}
# Arguments of the loading of model and tokenizer, and of the tokenizer's call, that change no answer.
_PLACED = ("dtype", "torch_dtype", "attn_implementation", "device_map", "low_cpu_mem_usage", "use_safetensors")
_BACKENDS = ("provider", "file_name", "export", "provider_options", "session_options")
_HUB = ("trust_remote_code", "token", "cache_dir", "revision", "local_files_only", "subfolder")
_MODEL = (*_PLACED, *_BACKENDS, *_HUB, "add_pooling_layer")
_TOKENIZER = ("model_max_length", "use_fast", "padding_side", "clean_up_tokenization_spaces", *_HUB)
_CALL = (
    "max_length",
    "truncation",
    "padding",
    "pad_to_multiple_of",
    "padding_side",
    "return_tensors",
    "logits_to_keep",
)
_WHOLE = (None, True, "longest_first")  # ways of cutting that are this project's own


@dataclass(frozen=True)
class Reading:
    """How a Transformer module reads: its transformer_task, the longest text that it names, and lower case."""

    task: str
    max_length: int | None
    lower_case: bool


def reading_from_folder(folder: Path, task: str) -> Reading:
    """Read the Transformer module in `folder`; `task` is the transformer_task where the file does not say one.

    Raises UserError for what is not served.
    """
    found = ((name, read_json_if_there(folder, name)) for name in TEXT_CONFIGS)
    name, config = next(((name, config) for name, config in found if config), (TEXT_CONFIGS[0], {}))
    shown = repr(str(folder / name))
    check_keys(config, "sentence_bert_config.json", shown)
    own = config.get("transformer_task", task)
    _check_outputs(config, own, shown)
    for key in ("query_length", "document_length", "query_expansion", "tokenizer_name_or_path"):
        if config.get(key) is not None:
            raise UserError(f"{shown} sets {key}, which tbgen does not serve; save the model without it")
    _check_arguments(config, ("model_kwargs", "model_args"), _MODEL, shown)
    _check_arguments(config, ("config_kwargs", "config_args"), ("use_cache", *_HUB), shown)
    tokenizer = _check_arguments(config, ("processor_kwargs", "tokenizer_args"), _TOKENIZER, shown)
    call = _call_arguments(config.get("processing_kwargs") or {}, shown)
    lengths = (call.get("max_length"), tokenizer.get("model_max_length"), config.get("max_seq_length"))
    longest = next((length for length in lengths if length is not None), None)
    return Reading(own, longest, bool(config.get("do_lower_case", False)))


def bare_reading(folder: Path, task: str) -> Reading:
    """How a model without modules.json reads, whose settings the library passes over. Raises UserError."""
    template = read_json_if_there(folder, "tokenizer_config.json").get("chat_template")
    if template or (folder / "chat_template.jinja").is_file():
        raise UserError(
            f"{str(folder)!r} has a chat template and no modules.json, for which sentence-transformers makes a "
            "message of each text; where it was trained on plain texts take the template away"
        )
    return Reading(task, None, False)


def _check_outputs(config: Mapping[str, Any], task: str, shown: str) -> None:
    """Raise UserError unless the module takes of the model what its task is for."""
    if task not in _OUTPUTS:
        raise UserError(f"{shown} has the transformer_task {task!r}; tbgen serves {', '.join(_OUTPUTS)}")
    field, name = _OUTPUTS[task]
    modalities = config.get("modality_config")
    if modalities is None:
        return
    if "message" in modalities or "text" not in modalities:
        raise UserError(f"{shown} reads {', '.join(modalities)}; tbgen serves plain text, without a chat template")
    wanted = {"method": "forward", "method_output_name": field}
    asked = {key: modalities["text"].get(key) for key in wanted}
    if asked["method_output_name"] in ([field], (field,)):
        asked = wanted
    if asked != wanted or config.get("module_output_name") != name:
        raise UserError(
            f"{shown} takes {asked['method_output_name']} of {asked['method']} as {config.get('module_output_name')}; "
            f"tbgen serves {field} of forward as {name}"
        )


def _check_arguments(config: Mapping[str, Any], names: tuple[str, str], known: tuple[str, ...], shown: str) -> Any:
    """The arguments under their new or old name; of both the old one counts. Raises UserError for unknown ones."""
    name = next((name for name in reversed(names) if name in config), names[0])
    arguments = config.get(name) or {}
    if unknown := sorted(arguments.keys() - set(known)):
        raise UserError(
            f"{shown} sets {name}.{unknown[0]}, which tbgen does not serve; save the model with it applied, and "
            "without the key"
        )
    return arguments


def _call_arguments(kwargs: Mapping[str, Any], shown: str) -> dict[str, Any]:
    """What the tokenizer is called with. Raises UserError for what makes other tokens."""
    call = {**(kwargs.get("text") or {}), **(kwargs.get("common") or {})}
    unknown = sorted(call.keys() - set(_CALL))
    if unknown or call.get("truncation") not in _WHOLE:
        key = unknown[0] if unknown else "truncation"
        raise UserError(
            f"{shown} calls the tokenizer with {key} {call[key]!r}, which tbgen does not serve; leave it out"
        )
    return call
