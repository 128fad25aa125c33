"""Table of the encoder families: what a model of each takes, and how it places and masks tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tbgen.export.errors import NoSuchName, UserError

_PAD: Literal["pad_token_id"] = "pad_token_id"


@dataclass(frozen=True)
class Family:
    """An encoder family of transformers, as its config's `model_type` names it.

    `token_types`: it takes token_type_ids when its config has two types or more.
    `padding_idx`: the token id that has no position of its own (RoBERTa and its kin): the others of a row are counted
    from it + 1 on, and the rows of the position table up to it hold no token. PAD: the config's, a number: always that
    one. None: positions are the columns, whatever is there.
    `endless`: of a config.json, whether tokens have no table of positions, which then end nowhere.
    `mask`: `additive`, it takes a ready (batch, 1, 1, sequence) mask; `own`, it makes its own from (batch, sequence).
    `encoder`: the attribute of its base model that holds the layers, where their attention can be replaced.
    `attention`: the module of one of the encoder's layers, behind which only the feed-forward part is left; none where
    layers share their weights (ALBERT).
    `packed_attention`: of a loaded model, its attention over packed tokens, as transformers calls it with the model's
    `packing`; None: scaled products of queries and keys (export/onnx/packed.py).
    """

    token_types: bool = False
    padding_idx: int | Literal["pad_token_id"] | None = None
    endless: Callable[[dict[str, Any]], bool] = lambda _: False
    mask: str = "additive"
    encoder: str = ""
    attention: str = ""
    packed_attention: Callable[[Any], Callable[..., tuple[Any, None]]] | None = None


FAMILIES = {
    "bert": Family(token_types=True, encoder="encoder", attention="attention"),
    "distilbert": Family(encoder="transformer", attention="sa_layer_norm"),
    "roberta": Family(token_types=True, padding_idx=_PAD, encoder="encoder", attention="attention"),
    "xlm-roberta": Family(token_types=True, padding_idx=_PAD, encoder="encoder", attention="attention"),
    "camembert": Family(token_types=True, padding_idx=_PAD, encoder="encoder", attention="attention"),
    "electra": Family(token_types=True, encoder="encoder", attention="attention"),
    "albert": Family(token_types=True, encoder="encoder"),
    "mpnet": Family(padding_idx=1),
    "deberta": Family(token_types=True, mask="own"),
    "deberta-v2": Family(  # DeBERTa-v3 names itself so, too
        token_types=True, endless=lambda config: not config.get("position_biased_input", True), mask="own"
    ),
    "modernbert": Family(endless=lambda _: True, mask="own"),
}


def family_of(config: dict[str, Any]) -> Family:
    """The family's row for a config.json. Raises NoSuchName with the table."""
    name = config.get("model_type", "")
    if name not in FAMILIES:
        raise NoSuchName("encoder family", name, list(FAMILIES))
    return FAMILIES[name]


def is_endless(config: dict[str, Any]) -> bool:
    """Whether a model reads texts of any length, whatever its max_position_embeddings; of an unknown family, no."""
    family = FAMILIES.get(config.get("model_type", ""))
    return family is not None and family.endless(config)


def inputs_of(config: dict[str, Any]) -> tuple[str, ...]:
    """The tensors that a model takes, in ONNX order."""
    two_types = family_of(config).token_types and config.get("type_vocab_size", 2) > 1
    return ("input_ids", "attention_mask", *(["token_type_ids"] if two_types else []))


def padding_idx_of(config: dict[str, Any]) -> int | None:
    """The token id that a model's positions leave out, if any. Raises UserError where config.json must name it."""
    own = family_of(config).padding_idx
    if own != _PAD:
        return own
    pad = config.get(_PAD, 1)  # transformers' own default, in all of these families
    if not isinstance(pad, int):
        raise UserError(
            f"config.json has {_PAD} {pad!r}, from which a {config['model_type']} counts its positions; write the id "
            "that the model was trained with, usually 1"
        )
    return pad


def positions_of(config: dict[str, Any]) -> int:
    """How many tokens a model can place: its positions, less the rows before the first token's. Raises UserError."""
    rows: int = config.get("max_position_embeddings", 512)
    before = padding_idx_of(config)
    positions = rows if before is None else rows - (before + 1)
    if positions < 1:
        raise UserError(
            f"config.json has max_position_embeddings {rows}, and positions are counted from {before} ({_PAD}) on: "
            "none is left for a token"
        )
    return positions
