"""A query and texts to scores: each text is read together with the query by a cross-encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .item_rows import check_entries
from .numerics import ranking_of

Tensors = dict[str, np.ndarray]


class QueryPairs:
    """Turns each item's query and texts into rows of pairs, and says which item each row belongs to.

    Args:
        folder: the version folder; nothing is read from it.
        max_texts: most texts of an item.
    """

    inputs = {"query": ("TYPE_STRING", [1]), "texts": ("TYPE_STRING", [-1])}
    outputs = {
        "input_text": ("TYPE_STRING", [1]),
        "text_pair": ("TYPE_STRING", [1]),
        "row_item": ("TYPE_INT32", [1]),
    }

    def __init__(self, folder: Path, *, max_texts: int = 1000) -> None:  # noqa: ARG002
        self.max_texts = max_texts

    def __call__(self, query: np.ndarray, texts: np.ndarray) -> Tensors:
        """query (batch, 1), texts (batch, texts) str. Gives input_text, text_pair and row_item, (batch * texts, 1)."""
        items, count = texts.shape
        check_entries("texts", count, self.max_texts)
        return {
            "input_text": query.repeat(count, axis=0),
            "text_pair": texts.reshape(-1, 1),
            "row_item": np.arange(items, dtype=np.int32).repeat(count)[:, None],
        }


class Rerank:
    """Scores each text by the logit of its pair, as sentence-transformers' CrossEncoder does.

    Args:
        folder: the version folder; nothing is read from it.
        activation: what makes a score of a logit unless a request says otherwise, by the name of a class of torch.nn:
            Identity, Sigmoid, Tanh, ReLU, Softmax (of one logit: 1), LogSigmoid, Softplus.
        sigmoid: Sigmoid (true) or Identity (false) instead.
        extras: outputs to give always, which else a request must ask for: json.
    """

    inputs = {"outputs": ("TYPE_FP32", [1]), "row_item": ("TYPE_INT32", [1])}
    outputs = {"scores": ("TYPE_FP32", [-1]), "ranking": ("TYPE_INT32", [-1]), "json": ("TYPE_STRING", [1])}
    parameters = {"sigmoid": {"type": "boolean"}, "json": {"type": "boolean"}}

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        activation: str = "Sigmoid",
        sigmoid: bool | None = None,
        extras: Sequence[str] = (),
    ) -> None:
        self.activation = ACTIVATIONS[activation if sigmoid is None else SQUASHED[sigmoid]]
        self.with_json = "json" in extras
        self.on_request = () if self.with_json else ("json",)

    def __call__(
        self, outputs: np.ndarray, row_item: np.ndarray, *, sigmoid: bool | None = None, **asked: bool
    ) -> Tensors:
        """outputs: (rows, 1) logits. Gives scores (items, texts) in the order of the texts, and ranking (items, texts):
        the texts' numbers, best first; and json, a list of {index, score}, if asked for.
        """
        logits = outputs.reshape(int(row_item[-1, 0]) + 1, -1)
        activation = self.activation if sigmoid is None else ACTIVATIONS[SQUASHED[sigmoid]]
        return ranking_of(activation(logits), self.with_json or asked.get("json", False))


SQUASHED = {True: "Sigmoid", False: "Identity"}
ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Identity": lambda logits: logits,
    "Sigmoid": lambda logits: np.exp(-np.logaddexp(0, -logits)),
    "Tanh": np.tanh,
    "ReLU": lambda logits: np.maximum(logits, 0),
    "Softmax": np.ones_like,
    "LogSigmoid": lambda logits: -np.logaddexp(0, -logits),
    "Softplus": lambda logits: np.logaddexp(0, logits),
}
