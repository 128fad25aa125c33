"""A query and texts to scores of how alike they are: each is embedded alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .item_rows import check_entries
from .numerics import at_length_one, ranking_of

Tensors = dict[str, np.ndarray]


class QueryTexts:
    """Turns each item's query and texts into rows, the query first, and says which item each row belongs to.

    Args:
        folder: the version folder; nothing is read from it.
        query_prompt, text_prompt: what the model was trained to read before a query and before a text.
        max_texts: most texts of an item.
        prompt_lengths: tokens of query_prompt and of text_prompt, the special ones before them included; if given, the
            step gives prompt_length too, for a step that leaves the prompts' tokens out.
    """

    inputs = {"query": ("TYPE_STRING", [1]), "texts": ("TYPE_STRING", [-1])}

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        query_prompt: str = "",
        text_prompt: str = "",
        max_texts: int = 1000,
        prompt_lengths: Sequence[int] | None = None,
    ) -> None:
        self.outputs = {"input_text": ("TYPE_STRING", [1]), "row_item": ("TYPE_INT32", [1])}
        self.outputs |= {"prompt_length": ("TYPE_INT32", [1])} if prompt_lengths is not None else {}
        self.prompt_lengths = prompt_lengths
        self.query_prompt = query_prompt
        self.text_prompt = text_prompt
        self.max_texts = max_texts

    def __call__(self, query: np.ndarray, texts: np.ndarray) -> Tensors:
        """query (batch, 1), texts (batch, texts) str. Gives input_text and row_item, (batch * (1 + texts), 1)."""
        items, count = texts.shape
        check_entries("texts", count, self.max_texts)
        rows = np.concatenate([self.query_prompt + query, self.text_prompt + texts], axis=1)
        answer = {
            "input_text": rows.reshape(-1, 1),
            "row_item": np.arange(items, dtype=np.int32).repeat(1 + count)[:, None],
        }
        if self.prompt_lengths is not None:
            query_length, text_length = self.prompt_lengths
            lengths = np.array([query_length, *[text_length] * count], dtype=np.int32)
            answer["prompt_length"] = np.tile(lengths, items)[:, None]
        return answer


class Similarity:
    """Compares each item's query with its texts.

    Args:
        folder: the version folder; nothing is read from it.
        size: how many numbers a vector has.
        metric: cosine, dot (the product), euclidean or manhattan (the distance, negative, so that the best is first).
        extras: outputs to give always, which else a request must ask for: json.
    """

    parameters = {"json": {"type": "boolean"}}

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        size: int,
        metric: str = "cosine",
        extras: Sequence[str] = (),
    ) -> None:
        self.scores = METRICS[metric]
        self.inputs = {"embedding": ("TYPE_FP32", [size]), "row_item": ("TYPE_INT32", [1])}
        self.outputs = {"scores": ("TYPE_FP32", [-1]), "ranking": ("TYPE_INT32", [-1]), "json": ("TYPE_STRING", [1])}
        self.with_json = "json" in extras
        self.on_request = () if self.with_json else ("json",)

    def __call__(self, embedding: np.ndarray, row_item: np.ndarray, **asked: bool) -> Tensors:
        """embedding: (rows, size), each item's query first. Gives scores (items, texts) in the order of the texts, and
        ranking (items, texts): the texts' numbers, best first; and json, a list of {index, score}, if asked for.
        """
        vectors = embedding.reshape(int(row_item[-1, 0]) + 1, -1, embedding.shape[1])
        scores = self.scores(vectors[:, 1:], vectors[:, :1])
        return ranking_of(scores, self.with_json or asked.get("json", False))


def dot(texts: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The products of (items, texts, size) with (items, 1, size)."""
    return np.asarray(np.einsum("ntd,nd->nt", texts, query[:, 0]))


def cosine(texts: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The products of the vectors at length 1."""
    return dot(at_length_one(texts), at_length_one(query))


def euclidean(texts: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The distance, negative."""
    return np.asarray(-np.linalg.norm(texts - query, axis=2))


def manhattan(texts: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The sum of the differences, negative."""
    return np.asarray(-np.abs(texts - query).sum(axis=2))


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cosine": cosine,
    "dot": dot,
    "euclidean": euclidean,
    "manhattan": manhattan,
}
