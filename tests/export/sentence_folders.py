"""Folders as sentence-transformers 2.2 to 6.2 writes them: each version's JSON files around a random model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.export import checkpoints

Files = dict[str, Any]
OLD, NEW = "sentence_transformers.models.", "sentence_transformers.sentence_transformer.modules."
BASE, SPARSE = "sentence_transformers.base.modules.", "sentence_transformers.sparse_encoder."
IDENTITY, SIGMOID = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"
EMPTY = {"query": "", "document": ""}


def versions(library: str) -> dict[str, Any]:
    return {"__version__": {"sentence_transformers": library, "transformers": "4.57.3", "pytorch": "2.13.0"}}


def chain(*rows: tuple[str, str]) -> list[dict[str, Any]]:
    """modules.json of (path, type) rows."""
    return [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(rows)]


def switches(*on: str, **also: Any) -> dict[str, Any]:
    """1_Pooling/config.json before 5.4."""
    names = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    return {"word_embedding_dimension": 32, **{f"pooling_mode_{name}": name in on for name in names}, **also}


def text_module(task: str, field: str, name: str) -> dict[str, Any]:
    """sentence_bert_config.json from 5.4 on."""
    modality = {"text": {"method": "forward", "method_output_name": field}}
    return {"transformer_task": task, "modality_config": modality, "module_output_name": name}


OLD_CHAIN = chain(("", f"{OLD}Transformer"), ("1_Pooling", f"{OLD}Pooling"), ("2_Normalize", f"{OLD}Normalize"))
LATER = {"pooling_mode_weightedmean_tokens": False, "pooling_mode_lasttoken": False, "include_prompt": True}
BI_ENCODERS: dict[str, Files] = {
    "2.2.2": {
        "modules.json": OLD_CHAIN,
        "config_sentence_transformers.json": versions("2.2.2"),
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
        "1_Pooling/config.json": switches("mean_tokens"),
    },
    "2.7.0": {
        "modules.json": OLD_CHAIN,
        "config_sentence_transformers.json": {**versions("2.7.0"), "prompts": {}, "default_prompt_name": None},
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
        "1_Pooling/config.json": switches("mean_tokens", **LATER),
    },
    "4.1.0": {
        "modules.json": OLD_CHAIN,
        "config_sentence_transformers.json": {
            **versions("4.1.0"),
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
        "1_Pooling/config.json": switches("mean_tokens", **LATER),
    },
    "5.1.2": {
        "modules.json": OLD_CHAIN,
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            **versions("5.1.2"),
            "prompts": EMPTY,
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
        "1_Pooling/config.json": switches("mean_tokens", **LATER),
    },
    "6.2.0": {
        "modules.json": chain(
            ("", f"{BASE}transformer.Transformer"),
            ("1_Pooling", f"{NEW}pooling.Pooling"),
            ("2_Normalize", f"{BASE}normalize.Normalize"),
        ),
        "config_sentence_transformers.json": {
            **versions("6.2.0"),
            "default_prompt_name": None,
            "model_type": "SentenceTransformer",
            "prompts": EMPTY,
            "similarity_fn_name": "cosine",
        },
        "sentence_bert_config.json": text_module("feature-extraction", "last_hidden_state", "token_embeddings"),
        "1_Pooling/config.json": {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True},
        "2_Normalize/config.json": {
            "module_input_name": "sentence_embedding",
            "module_output_name": "sentence_embedding",
        },
    },
}
# Up to 3.4 nothing but an activation that was named when the model was made says that it is a CrossEncoder.
CROSS_ENCODERS: dict[str, Files] = {
    "2.2.2": {"config.json": {"sbert_ce_default_activation_function": IDENTITY}},
    "4.1.0": {"config.json": {"sentence_transformers": {"activation_fn": IDENTITY, "version": "4.1.0"}}},
    "5.1.2": {"config.json": {"sentence_transformers": {"activation_fn": IDENTITY, "version": "5.1.2"}}},
    "6.2.0": {
        "modules.json": chain(("", f"{BASE}transformer.Transformer")),
        "config_sentence_transformers.json": {
            **versions("6.2.0"),
            "activation_fn": IDENTITY,
            "default_prompt_name": None,
            "model_type": "CrossEncoder",
            "prompts": {},
        },
        "sentence_bert_config.json": text_module("sequence-classification", "logits", "scores"),
    },
}
SPARSE_ENCODERS: dict[str, Files] = {
    "5.1.2": {
        "modules.json": chain(
            ("", f"{SPARSE}models.MLMTransformer"), ("1_SpladePooling", f"{SPARSE}models.SpladePooling")
        ),
        "config_sentence_transformers.json": {
            "model_type": "SparseEncoder",
            **versions("5.1.2"),
            "prompts": EMPTY,
            "default_prompt_name": None,
            "similarity_fn_name": "dot",
        },
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
        "1_SpladePooling/config.json": {
            "pooling_strategy": "max",
            "activation_function": "relu",
            "word_embedding_dimension": None,
        },
    },
    "6.2.0": {
        "modules.json": chain(
            ("", f"{BASE}transformer.Transformer"),
            ("1_SpladePooling", f"{SPARSE}modules.splade_pooling.SpladePooling"),
        ),
        "config_sentence_transformers.json": {
            **versions("6.2.0"),
            "default_prompt_name": None,
            "model_type": "SparseEncoder",
            "prompts": EMPTY,
            "similarity_fn_name": None,
        },
        "sentence_bert_config.json": text_module("fill-mask", "logits", "token_embeddings"),
        "1_SpladePooling/config.json": {
            "pooling_strategy": "max",
            "activation_function": "relu",
            "embedding_dimension": None,
        },
    },
}
HEADS = {
    "AutoModel": BI_ENCODERS,
    "AutoModelForSequenceClassification": CROSS_ENCODERS,
    "AutoModelForMaskedLM": SPARSE_ENCODERS,
}


def written(folder: Path, auto: str, version: str = "6.2.0", *, labels: int = 1, **settings: Any) -> Path:
    """A random RoBERTa (it has no token types) in the layout of a version; `settings` go into its config.json."""
    if auto == "AutoModelForSequenceClassification":
        settings["id2label"] = {index: f"LABEL_{index}" for index in range(labels)}
    checkpoints.checkpoint(folder, "roberta", auto, **settings)
    for name, value in HEADS[auto][version].items():
        change(folder / name, value)
    return folder


def bi_encoder(folder: Path, *modules: tuple[str, dict[str, Any]], **settings: Any) -> Path:
    """A 6.2 SentenceTransformer of Transformer and the named modules, weights in for those that have some."""
    rows = [(f"{i}_{kind}", f"{OLD}{kind}") for i, (kind, _) in enumerate(modules, 1)]
    written(folder, "AutoModel", **settings)
    write(folder / "modules.json", chain(("", f"{OLD}Transformer"), *rows))
    for (path, _), (kind, config) in zip(rows, modules, strict=True):
        write(folder / path / "config.json", config)
        if kind in WEIGHTS:
            torch.manual_seed(1)
            save_file(WEIGHTS[kind](config), folder / path / "model.safetensors")
    return folder


def dense_weights(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    narrow, wide = config["out_features"], config["in_features"]
    weights = {"linear.weight": torch.randn(narrow, wide)}
    if config.get("bias", True):
        weights["linear.bias"] = torch.randn(narrow)
    if config.get("use_residual") and narrow != wide:
        weights["residual.weight"] = torch.randn(narrow, wide)
    return weights


WEIGHTS = {
    "Dense": dense_weights,
    "LayerNorm": lambda config: {f"norm.{name}": torch.randn(config["dimension"]) for name in ("weight", "bias")},
    "WeightedLayerPooling": lambda config: {"layer_weights": torch.rand(3 - config["layer_start"]) + 0.5},
}


def change(path: Path, value: Any) -> None:
    """Merge an object into a JSON file, or write it."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() and isinstance(value, dict) else None
    write(path, {**old, **value} if old else value)


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
