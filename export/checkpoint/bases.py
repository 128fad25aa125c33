"""Shapes of public base models, so that a state dict can be read without a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.reading import read_json

# The public model card's figures: 300 positions, a cased WordPiece vocabulary of 30,000.
_KCBERT = {
    "model_type": "bert",
    "vocab_size": 30000,
    "max_position_embeddings": 300,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
BASES: dict[str, dict[str, Any]] = {
    "beomi/kcbert-base": {
        **_KCBERT,
        "num_hidden_layers": 12,
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "beomi/kcbert-large": {
        **_KCBERT,
        "num_hidden_layers": 24,
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
}


def config_of_base(name: str) -> dict[str, Any]:
    """The config of a base model: a row of the table, or the config.json of a folder or file. Raises UserError."""
    if name in BASES:
        return dict(BASES[name])
    path = Path(name)
    if path.is_file():
        return read_json(path.parent, path.name, "")
    if path.is_dir():
        return read_json(path, "config.json", "a base model's folder has one")
    raise UserError(
        f"no base model {name!r}; known without a hub are {', '.join(sorted(BASES))}, "
        "or name a folder with the base model's config.json"
    )
