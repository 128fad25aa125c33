"""Every key of the JSON files of a sentence-transformers folder, as its version 6.2 reads them, and what is done of it.

docs/export.md shows this table. A key that the library refuses, or that is not here, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tbgen.export.errors import UserError

MODULES = {
    "type": "served: the class, under any path that the library had for it; code of one's own is refused",
    "path": "served: the module's folder; one outside the folder is refused",
    "name": "served: of two modules with one name the later stands in the place of the first",
    "idx": "cannot matter: the order of the list counts",
    "kwargs": "cannot matter: names of arguments that a call may add",
}
CONFIG = {
    "model_type": "served: SentenceTransformer, CrossEncoder, SparseEncoder; another is refused",
    "prompts": "served: request parameter prompt_name; null is the empty prompt",
    "default_prompt_name": "served; a name that no prompt has is refused",
    "similarity_fn_name": "served: task similarity scores by cosine, dot, euclidean or manhattan; else by cosine",
    "truncate_dim": "served: so many numbers of the finished vector",
    "max_active_dims": "served: top_k of task sparse-embedding",
    "activation_fn": "served: Identity, Sigmoid, Tanh, ReLU, Softmax, LogSigmoid, Softplus; another is refused",
    "keep_in_fp32_modules": "cannot matter: all is computed in FP32",
    "__version__": "cannot matter: the library warns of a newer one",
    "requirements": "cannot matter: packages that the library asks for",
}
TRANSFORMER = {
    "max_seq_length": "served: the longest text, also beyond the tokenizer's own limit, which counts where it is null",
    "do_lower_case": "served: text is lower-cased before all else that the tokenizer does",
    "transformer_task": "served: feature-extraction, sequence-classification, fill-mask; another is refused",
    "modality_config": "served: text through forward; other outputs, and chat messages, are refused",
    "module_output_name": "served: the name that goes with the task; another is refused",
    "processing_kwargs": "served: text.max_length; padding cannot matter; what changes the tokens is refused",
    "processor_kwargs": "served: model_max_length; what else changes the tokens is refused",
    "tokenizer_args": "as processor_kwargs, which they were called before 5.4",
    "model_kwargs": "cannot matter: types, attention, placement; what changes the model is refused",
    "model_args": "as model_kwargs",
    "config_kwargs": "refused unless empty, or use_cache",
    "config_args": "as config_kwargs",
    "unpad_inputs": "cannot matter: it saves padding",
    "query_length": "refused unless null",
    "document_length": "refused unless null",
    "query_expansion": "refused unless null",
    "tokenizer_name_or_path": "refused unless null: the tokenizer lies elsewhere",
    "cache_dir": "cannot matter",
}
POOLING = {
    "pooling_mode": "served: cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken, or a list of them",
    "pooling_mode_cls_token": "served: a switch of 1.x to 5.3",
    "pooling_mode_max_tokens": "served: the same",
    "pooling_mode_mean_tokens": "served: the same; without any switch the mean",
    "pooling_mode_mean_sqrt_len_tokens": "served: the same",
    "pooling_mode_weightedmean_tokens": "served: the same",
    "pooling_mode_lasttoken": "served: the same",
    "include_prompt": "served where nothing but Normalize follows; else refused for a model with prompts",
    "embedding_dimension": "cannot matter: the hidden states have it",
    "word_embedding_dimension": "cannot matter: its name before 5.4",
}
DENSE = {
    "in_features": "served; a width that does not fit is refused",
    "out_features": "served; one that the weights do not have is refused",
    "bias": "served",
    "activation_function": "served: classes of torch.nn that need no arguments; another is refused",
    "module_input_name": "served",
    "module_output_name": "served",
    "use_residual": "served",
}
NORMALIZE = {"module_input_name": "served", "module_output_name": "served"}
LAYER_NORM = {"dimension": "served"}
DROPOUT = {"dropout": "cannot matter: nothing is dropped in inference"}
LAYERS = {
    "layer_start": "served, if config.json has output_hidden_states; else the library passes over the module",
    "num_hidden_layers": "served: the weights have it",
    "embedding_dimension": "cannot matter",
    "word_embedding_dimension": "cannot matter",
}
SPLADE = {
    "pooling_strategy": "served: max, sum; another is refused",
    "activation_function": "served: relu, log1p_relu; another is refused",
    "chunk_size": "cannot matter: it saves memory",
    "embedding_dimension": "cannot matter",
    "word_embedding_dimension": "cannot matter",
}
HEAD = {
    "sentence_transformers": "served: its activation_fn, as CrossEncoders of 4.0 to 5.3 keep it",
    "sbert_ce_default_activation_function": "served: the activation of CrossEncoders before 4.0",
}
# The file, or the module whose config.json it is -> its keys.
KEYS: dict[str, Mapping[str, str]] = {
    "modules.json": MODULES,
    "config_sentence_transformers.json": CONFIG,
    "sentence_bert_config.json": TRANSFORMER,
    "Pooling": POOLING,
    "Dense": DENSE,
    "Normalize": NORMALIZE,
    "LayerNorm": LAYER_NORM,
    "Dropout": DROPOUT,
    "WeightedLayerPooling": LAYERS,
    "SpladePooling": SPLADE,
    "config.json": HEAD,
}
# Modules whose unknown keys the library passes over; the others cannot be constructed with one.
LENIENT = ("Dense", "Normalize")


def check_keys(config: Mapping[str, Any], of: str, shown: str) -> None:
    """Raise UserError for a key of a module's config that the library would not read."""
    unknown = sorted(config.keys() - KEYS[of].keys())
    if unknown and of not in LENIENT:
        raise UserError(
            f"{shown} has the key {unknown[0]!r}, which {of} of sentence-transformers 6.2 does not have; it has "
            f"{', '.join(KEYS[of])}"
        )
