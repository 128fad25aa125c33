"""Vocabulary logits to a sparse vector for each text: the tokens it stands for and their weights (SPLADE)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as TokenizerFile

from .numerics import json_column

Tensors = dict[str, np.ndarray]
COLUMNS = {"token_ids": ("TYPE_INT32", [-1]), "token_weights": ("TYPE_FP32", [-1]), "tokens": ("TYPE_STRING", [-1])}


class SparseEmbedding:
    """Weighs the vocabulary's tokens for each text, by the rules of sentence-transformers' SpladePooling.

    Args:
        folder: the version folder, with tokenizer.json.
        size: how many tokens the vocabulary has.
        pooling: max or sum over the text's tokens.
        activation: relu, or log1p_relu (a second logarithm).
        top_k: most tokens of a text unless a request says otherwise; none: all that have a weight.
        data_type: of attention_mask.
        extras: outputs to give always, which else a request must ask for: json.
    """

    parameters = {"top_k": {"type": "integer", "minimum": 1, "maximum": 1_000_000}, "json": {"type": "boolean"}}

    def __init__(
        self,
        folder: Path,
        *,
        size: int,
        pooling: str = "max",
        activation: str = "relu",
        top_k: int | None = None,
        data_type: str = "TYPE_INT64",
        extras: Sequence[str] = (),
    ) -> None:
        tokenizer = TokenizerFile.from_file(str(folder / "tokenizer.json"))
        self.names = np.array([tokenizer.id_to_token(index) or "" for index in range(size)], dtype=object)
        self.pool = POOLINGS[pooling]
        self.logarithms = LOGARITHMS[activation]
        self.top_k = top_k
        self.inputs = {"outputs": ("TYPE_FP32", [-1, size]), "attention_mask": (data_type, [-1])}
        self.outputs = {"token_count": ("TYPE_INT32", [1])} | COLUMNS | {"json": ("TYPE_STRING", [1])}
        self.with_json = "json" in extras
        self.on_request = () if self.with_json else ("json",)

    def __call__(
        self, outputs: np.ndarray, attention_mask: np.ndarray, *, top_k: int | None = None, **asked: bool
    ) -> Tensors:
        """outputs: (batch, length or more, vocabulary) logits. Gives token_count (batch, 1) and token_ids,
        token_weights, tokens, (batch, most of any text): heaviest first, 0 and "" behind a text's tokens;
        and json, a list of {token, id, weight}, if asked for.
        """
        weights = self.pool(outputs[:, : attention_mask.shape[1]], attention_mask == 1, self.logarithms)
        counts = np.minimum((weights > 0).sum(axis=1), top_k or self.top_k or weights.shape[1])
        width = int(counts.max(initial=0))
        order = np.argsort(-weights, axis=1, kind="stable")[:, :width]
        kept = np.arange(width) < counts[:, None]
        answer = {
            "token_count": counts[:, None].astype(np.int32),
            "token_ids": np.where(kept, order, 0).astype(np.int32),
            "token_weights": np.where(kept, np.take_along_axis(weights, order, axis=1), 0).astype(np.float32),
            "tokens": np.where(kept, self.names[order], ""),
        }
        return answer | (json_from_answer(answer) if self.with_json or asked.get("json") else {})

    def trim(self, answer: Tensors) -> Tensors:
        """One request's tokens, as wide as its own texts need."""
        width = int(answer["token_count"].max(initial=0))
        return {name: answer[name][:, :width] for name in COLUMNS}


def json_from_answer(answer: Tensors) -> Tensors:
    """(batch, 1) JSON: each text's tokens, heaviest first."""
    columns = (answer[name].tolist() for name in ("tokens", "token_ids", "token_weights"))
    rows = [
        [{"token": token, "id": i, "weight": weight} for token, i, weight in zip(*row, strict=True)][:count]
        for count, *row in zip(answer["token_count"][:, 0].tolist(), *columns, strict=True)
    ]
    return {"json": json_column(rows)}


def damped(logits: np.ndarray, logarithms: int) -> np.ndarray:
    """log(1 + relu(x)), once or twice."""
    values = np.maximum(logits, 0)
    for _ in range(logarithms):
        values = np.log1p(values)
    return np.asarray(values)


def pool_max(logits: np.ndarray, real: np.ndarray, logarithms: int) -> np.ndarray:
    """The largest weight over the text's tokens; damping keeps the order, so it comes last, on far fewer numbers."""
    return damped(logits.max(axis=1, where=real[:, :, None], initial=0), logarithms)


def pool_sum(logits: np.ndarray, real: np.ndarray, logarithms: int) -> np.ndarray:
    """The sum of the weights over the text's tokens."""
    return np.asarray(damped(logits, logarithms).sum(axis=1, where=real[:, :, None]))


POOLINGS = {"max": pool_max, "sum": pool_sum}
LOGARITHMS = {"relu": 1, "log1p_relu": 2}
