"""What steps share: data types, softmax, answers as padded tensors, answers as JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]
Specs = Mapping[str, tuple[str, Sequence[int]]]

# By Triton data type: what stands behind a text's own answers, and the type of numpy.
EMPTY: dict[str, tuple[Any, type]] = {
    "TYPE_STRING": ("", object),
    "TYPE_FP16": (0, np.float16),
    "TYPE_FP32": (0, np.float32),
    "TYPE_INT32": (0, np.int32),
    "TYPE_INT64": (0, np.int64),
}
NUMPY = {name: kind for name, (_, kind) in EMPTY.items()}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def lengths(vectors: np.ndarray) -> np.ndarray:
    """(..., 1) lengths of the (..., size) vectors; squares of single precision may be beyond its numbers."""
    return np.asarray(np.sqrt(np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64))[..., None])


def at_length_one(vectors: np.ndarray) -> np.ndarray:
    """The (..., size) vectors divided by their lengths."""
    return np.asarray((vectors / np.maximum(lengths(vectors), 1e-12)).astype(vectors.dtype))


def check_token_ids(ids: np.ndarray) -> None:
    """Raise ValueError for ids that no vocabulary has; who calls a head by itself may send them."""
    if ids.size and not 0 <= ids.min() <= ids.max() < 2**32:
        raise ValueError("input_ids holds a number that is no id of a token")


def columns_from_rows(rows: Sequence[Sequence[Any]], columns: Specs, prefix: str) -> Tensors:
    """Each row's objects as tensors, padded behind to the most of any: `prefix` and an attribute's name for each."""
    tensors = {}
    for name, (data_type, _) in columns.items():
        tensors[name] = np.full((len(rows), max(map(len, rows), default=0)), *EMPTY[data_type])
        for row, objects in enumerate(rows):
            tensors[name][row, : len(objects)] = [getattr(each, name.removeprefix(prefix)) for each in objects]
    return tensors


def counts_of(rows: Iterable[Sequence[Any]]) -> np.ndarray:
    """(rows, 1) how many objects each row has."""
    return np.array([[len(row)] for row in rows], dtype=np.int32)


def json_column(values: Iterable[Any]) -> np.ndarray:
    """(values, 1) each value as JSON."""
    return np.array([[json.dumps(value, ensure_ascii=False)] for value in values], dtype=object)


def ranking_of(scores: np.ndarray, with_json: bool) -> Tensors:
    """(items, texts) scores as they are served, with the texts' numbers, best first; and both as JSON if asked for."""
    order = np.argsort(-scores, axis=1, kind="stable")
    answer = {"scores": scores.astype(np.float32), "ranking": order.astype(np.int32)}
    rows = zip(answer["ranking"].tolist(), answer["scores"].tolist(), strict=True)
    listed = ([{"index": index, "score": row[index]} for index in ranking] for ranking, row in rows)
    return answer | ({"json": json_column(listed)} if with_json else {})
