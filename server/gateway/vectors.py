"""Vectors as clients want them: fewer numbers, length 1, base64."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from tbgen.backends.numerics import at_length_one, lengths
from tbgen.export.run import Tensors
from tbgen.server.gateway.answers import are_columns, only_names
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer

_NEAR_ONE = 5e-3  # FP16 leaves a length of 1 so far off


def cut(vectors: np.ndarray, dimensions: int | None) -> np.ndarray:
    """The first so many numbers of (items, size) vectors; those of length 1 have that length again. Raises NoAnswer."""
    size = vectors.shape[1]
    if dimensions is None or dimensions == size:
        return vectors
    if not 0 < dimensions < size:
        raise NoAnswer(400, f"dimensions: the model's vectors have {size} numbers, {dimensions} are asked for")
    shorter = vectors[:, :dimensions]
    return at_length_one(shorter) if have_length_one(vectors) else shorter


def have_length_one(vectors: np.ndarray) -> bool:
    return bool(np.all(np.abs(lengths(vectors) - 1) < _NEAR_ONE))


def stacked(model: FrontModel, rows: Sequence[Tensors]) -> np.ndarray:
    """(items, size) FP32, of vectors that may be FP16. Raises NoAnswer for what is no vector of such numbers."""
    vectors = [row["embedding"] for row in rows]
    if are_columns(dict(enumerate(vectors))):
        with np.errstate(over="ignore"):  # of FP64
            found = np.stack(vectors).astype("<f4")
        if np.isfinite(found).all():
            return found
    raise only_names(model, "embedding")


def base64_rows(vectors: np.ndarray) -> list[str]:
    """Each vector's FP32 numbers, little-endian, in base64."""
    return [base64.b64encode(row.tobytes()).decode("ascii") for row in np.ascontiguousarray(vectors, dtype="<f4")]
