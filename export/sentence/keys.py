"""Every key of the JSON files of a sentence-transformers folder, as its version 6.2 reads them.

docs/export.md says what becomes of each. A key that is not here is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tbgen.export.errors import UserError

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


def check_keys(config: Mapping[str, Any], of: str, shown: str) -> None:
    """Raise UserError for a key of a module's config that the library would not read."""
    unknown = sorted(config.keys() - set(KEYS[of]))
    if unknown and of not in _LENIENT:
        raise UserError(
            f"{shown} has the key {unknown[0]!r}, which {of} of sentence-transformers 6.2 does not have; it has "
            f"{', '.join(KEYS[of])}"
        )
