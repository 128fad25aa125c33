"""A query and texts to cosines: each is embedded alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

Tensors = dict[str, np.ndarray]


class QueryTexts:
    """Turns each item's query and texts into rows, the query first, and says which item each row belongs to.

    Args:
        folder: the version folder; nothing is read from it.
        query_prompt, text_prompt: what the model was trained to read before a query and before a text.
        max_texts: most texts of an item.
    """

    inputs = {"query": ("TYPE_STRING", [1]), "texts": ("TYPE_STRING", [-1])}
    outputs = {"input_text": ("TYPE_STRING", [1]), "row_item": ("TYPE_INT32", [1])}

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        query_prompt: str = "",
        text_prompt: str = "",
        max_texts: int = 1000,
    ) -> None:
        self.query_prompt = query_prompt
        self.text_prompt = text_prompt
        self.max_texts = max_texts

    def __call__(self, query: np.ndarray, texts: np.ndarray) -> Tensors:
        """query (batch, 1), texts (batch, texts) str. Gives input_text and row_item, (batch * (1 + texts), 1)."""
        items, count = texts.shape
        if not 0 < count <= self.max_texts:
            raise ValueError(f"texts has {count} entries for item 0; it takes 1 to {self.max_texts}")
        rows = np.concatenate([self.query_prompt + query, self.text_prompt + texts], axis=1)
        return {
            "input_text": rows.reshape(-1, 1),
            "row_item": np.arange(items, dtype=np.int32).repeat(1 + count)[:, None],
        }


class Similarity:
    """Compares each item's query with its texts.

    Args:
        folder: the version folder; nothing is read from it.
        size: how many numbers a vector has.
        extras: outputs to give always, which else a request must ask for: json.
    """

    parameters = {"json": {"type": "boolean"}}

    def __init__(self, folder: Path, *, size: int, extras: Sequence[str] = ()) -> None:  # noqa: ARG002
        self.inputs = {"embedding": ("TYPE_FP32", [size]), "row_item": ("TYPE_INT32", [1])}
        self.outputs = {"scores": ("TYPE_FP32", [-1]), "ranking": ("TYPE_INT32", [-1]), "json": ("TYPE_STRING", [1])}
        self.with_json = "json" in extras
        self.on_request = () if self.with_json else ("json",)

    def __call__(self, embedding: np.ndarray, row_item: np.ndarray, **asked: bool) -> Tensors:
        """embedding: (rows, size), each item's query first. Gives the cosines, scores (items, texts) in the order of
        the texts, and ranking (items, texts): the texts' numbers, best first; and json, a list of {index, score}, if
        asked for.
        """
        vectors = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
        vectors = vectors.reshape(int(row_item[-1, 0]) + 1, -1, vectors.shape[1])
        scores = np.einsum("ntd,nd->nt", vectors[:, 1:], vectors[:, 0])
        ranking = np.argsort(-scores, axis=1, kind="stable")
        answer = {"scores": scores.astype(np.float32), "ranking": ranking.astype(np.int32)}
        return answer | (json_from_answer(answer) if self.with_json or asked.get("json") else {})


def json_from_answer(answer: Tensors) -> Tensors:
    """(items, 1) JSON: each item's texts by number and score, best first."""
    rows = zip(answer["ranking"].tolist(), answer["scores"].tolist(), strict=True)
    texts = [[json.dumps([{"index": i, "score": scores[i]} for i in ranking])] for ranking, scores in rows]
    return {"json": np.array(texts, dtype=object)}
