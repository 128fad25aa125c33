"""Every key of the JSON files of a sentence-transformers folder, as its version 6.2 reads them.

docs/reference/checkpoint-files.md says what becomes of each. A key that is not here is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.values import (
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

# The file, or the module whose config.json it is -> its keys.
KEYS: dict[str, tuple[str, ...]] = {
    "modules.json": ("type", "path", "name", "idx", "kwargs"),
    "config_sentence_transformers.json": (
        *("model_type", "prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim", "max_active_dims"),
        *("activation_fn", "keep_in_fp32_modules", "__version__", "requirements"),
    ),
    "sentence_bert_config.json": (
        *("max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name"),
        *("processing_kwargs", "processor_kwargs", "tokenizer_args", "model_kwargs", "model_args", "config_kwargs"),
        *("config_args", "unpad_inputs", "query_length", "document_length", "query_expansion"),
        *("tokenizer_name_or_path", "cache_dir"),
    ),
    "Pooling": (
        *("pooling_mode", "pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_tokens"),
        *("pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"),
        *("include_prompt", "embedding_dimension", "word_embedding_dimension"),
    ),
    "Dense": (
        *("in_features", "out_features", "bias", "activation_function", "module_input_name", "module_output_name"),
        *("use_residual",),
    ),
    "Normalize": ("module_input_name", "module_output_name"),
    "LayerNorm": ("dimension",),
    "Dropout": ("dropout",),
    "WeightedLayerPooling": ("layer_start", "num_hidden_layers", "embedding_dimension", "word_embedding_dimension"),
    "SpladePooling": (
        *("pooling_strategy", "activation_function", "chunk_size", "embedding_dimension", "word_embedding_dimension"),
    ),
    "config.json": ("sentence_transformers", "sbert_ce_default_activation_function"),
}
# Modules whose unknown keys the library passes over; the others cannot be constructed with one.
_LENIENT = ("Dense", "Normalize")
# What the values of those keys must be that something here depends on.
_WIDTH, _LENGTH = whole(1, 1_000_000), whole(1, 10_000_000).or_none()
_FEATURE = A_TEXT.or_none()
_LIMIT = Rule("a positive number", lambda value: type(value) in (int, float) and value >= 1).or_none()
_CALL = object_with({}, may_lack={"max_length": _LENGTH}).or_none()
_RULES: dict[str, Rules] = {
    "config_sentence_transformers.json": {
        **dict.fromkeys(("model_type", "default_prompt_name", "similarity_fn_name", "activation_fn"), A_TEXT.or_none()),
        **dict.fromkeys(("truncate_dim", "max_active_dims"), _LENGTH),
    },
    "sentence_bert_config.json": {
        **dict.fromkeys(("transformer_task", "module_output_name"), A_TEXT.or_none()),
        "max_seq_length": _LENGTH,
        "do_lower_case": A_SWITCH.or_none(),
        "modality_config": object_of(AN_OBJECT).or_none(),
        **dict.fromkeys(("model_kwargs", "model_args", "config_kwargs", "config_args"), AN_OBJECT.or_none()),
        **dict.fromkeys(
            ("processor_kwargs", "tokenizer_args"), object_with({}, may_lack={"model_max_length": _LIMIT}).or_none()
        ),
        "processing_kwargs": object_with({}, may_lack=dict.fromkeys(("text", "common"), _CALL)).or_none(),
    },
    "Pooling": {
        "pooling_mode": Rule(
            "a text or a list of texts", lambda v: isinstance(v, str) or list_of(A_TEXT).takes(v)
        ).or_none(),
        "include_prompt": A_SWITCH,
    },
    "Dense": {
        **dict.fromkeys(("in_features", "out_features"), _WIDTH.or_none()),
        **dict.fromkeys(("bias", "use_residual"), A_SWITCH),
        **dict.fromkeys(("module_input_name", "module_output_name"), _FEATURE),
    },
    "Normalize": dict.fromkeys(("module_input_name", "module_output_name"), _FEATURE),
    "LayerNorm": {"dimension": _WIDTH},
    "WeightedLayerPooling": {"layer_start": whole(0, 1_000)},
    "SpladePooling": dict.fromkeys(("pooling_strategy", "activation_function"), A_TEXT),
    "modules.json": {"name": A_TEXT},
    "config.json": {
        "sentence_transformers": AN_OBJECT.or_none(),
        "id2label": AN_OBJECT.or_none(),
        "num_labels": whole(1, 1_000_000).or_none(),
        "hidden_size": _WIDTH,
        "dim": _WIDTH,
    },
}


def check_known_values(config: Mapping[str, Any], of: str, shown: str) -> None:
    """Raise UserError for a value that the library would not take for the key."""
    check_values(config, _RULES.get(of, {}), shown)


def check_keys(config: Mapping[str, Any], of: str, shown: str) -> None:
    """Raise UserError for a key of a module's config that the library would not read, and a value of another type."""
    check_known_values(config, of, shown)
    unknown = sorted(config.keys() - set(KEYS[of]))
    if unknown and of not in _LENIENT:
        raise UserError(
            f"{shown} has the key {unknown[0]!r}, which {of} of sentence-transformers 6.2 does not have; it has "
            f"{', '.join(KEYS[of])}"
        )
