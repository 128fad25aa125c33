"""Ragged batches as NVIDIA's onnxruntime backend makes them: flat inputs, what `batch_input` adds beside them, flat
outputs that `batch_output` cuts up again.

Pure functions on plain values and numpy arrays, no Triton needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..data_types import NUMPY
from .problem import Json

RaggedArrays = Mapping[str, np.ndarray]


def _element_count(parts: Sequence[np.ndarray]) -> list[int]:
    """Elements of each request."""
    return [part.size for part in parts]


def _accumulated(parts: Sequence[np.ndarray]) -> list[int]:
    """Elements up to and with each request."""
    return np.cumsum(_element_count(parts)).tolist()


def _item_shapes(parts: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    """The shape of each item, of all items of all requests."""
    return [part.shape[1:] for part in parts for _ in range(len(part))]


# kind -> what it adds for the requests' tensors of its source input. The most elements as a shape carries no values.
_KINDS: dict[str, Callable[[Sequence[np.ndarray]], Any]] = {
    "BATCH_ELEMENT_COUNT": _element_count,
    "BATCH_ACCUMULATED_ELEMENT_COUNT": _accumulated,
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": lambda parts: [0, *_accumulated(parts)],
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": lambda parts: [0] * max(_element_count(parts)),
    "BATCH_ITEM_SHAPE": _item_shapes,
    "BATCH_ITEM_SHAPE_FLATTEN": lambda parts: [size for shape in _item_shapes(parts) for size in shape],
}


def join_arrays(parts: Sequence[RaggedArrays], ragged: frozenset[str], added: Sequence[Json]) -> dict[str, np.ndarray]:
    """The requests' tensors as one run takes them: ragged ones flat, others along the batch axis, and what is added."""
    joined = {
        name: np.concatenate([part[name].reshape(-1) if name in ragged else part[name] for part in parts])
        for name in parts[0]
    }
    for row in added:
        source = [part[row["source_input"][0]] for part in parts]
        values = np.array(_KINDS[row["kind"]](source), dtype=NUMPY[row["data_type"]])
        joined.update(dict.fromkeys(row["target_name"], values))
    return joined


def ragged_names(config: Json) -> frozenset[str]:
    """The inputs whose requests may differ in length."""
    return frozenset(tensor["name"] for tensor in config["input"] if tensor.get("allow_ragged_batch"))


def scatter_sources(config: Json) -> dict[str, str]:
    """Output -> the input whose shapes cut it up."""
    return {name: row["source_input"][0] for row in config.get("batch_output", ()) for name in row["target_name"]}


def scatter(name: str, value: np.ndarray, sources: Sequence[np.ndarray], dims: Sequence[int]) -> list[np.ndarray]:
    """A flat output's values, request by request. Raises ValueError where NVIDIA's backend would read behind them.

    sources: of each request the input that gives the sizes. dims: of an item; -1 is the source's size at that place.
    """
    shapes = [
        [source.shape[place] if size == -1 else size for place, size in enumerate([-1, *dims])] for source in sources
    ]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    if ends[-1] > value.size:
        raise ValueError(f"batch_output takes {ends[-1]} values of '{name}', and the model gives {value.size}")
    pieces = np.split(value.reshape(-1), ends)
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=False)]
