"""Hidden states to one vector for each text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

NUMPY = {"TYPE_FP16": np.float16, "TYPE_FP32": np.float32}


class Embedding:
    """Pools the hidden states of each text's tokens, by the rules of sentence-transformers.

    Args:
        folder: the version folder; nothing is read from it.
        size: width of the hidden states.
        pooling: cls (the first token), mean, max or lasttoken of the text's tokens; none where the engine pools.
        normalize: scale each vector to length 1.
        dims: keep only the first so many numbers, before scaling (Matryoshka models).
        output_type: TYPE_FP32 or TYPE_FP16.
        data_type: of attention_mask.
        with_json: give json too, always (true) or to requests that ask for it (false); none where another step follows.
    """

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        size: int,
        pooling: str = "mean",
        normalize: bool = True,
        dims: int | None = None,
        output_type: str = "TYPE_FP32",
        data_type: str = "TYPE_INT64",
        with_json: bool | None = None,
    ) -> None:
        self.pool = POOLINGS.get(pooling)
        self.normalize = normalize
        self.dims = dims or size
        self.dtype = NUMPY[output_type]
        self.inputs: dict[str, tuple[str, list[int]]] = {"outputs": ("TYPE_FP32", [size])}
        if self.pool:
            self.inputs = {"outputs": ("TYPE_FP32", [-1, size]), "attention_mask": (data_type, [-1])}
        self.outputs = {"embedding": (output_type, [self.dims])}
        self.with_json = with_json
        self.parameters: dict[str, dict[str, str]] = {}
        self.on_request: tuple[str, ...] = ()
        if with_json is not None:
            self.outputs |= {"json": ("TYPE_STRING", [1])}
            self.parameters = {"json": {"type": "boolean"}}
            self.on_request = () if with_json else ("json",)

    def __call__(
        self, outputs: np.ndarray, attention_mask: np.ndarray | None = None, **asked: bool
    ) -> dict[str, np.ndarray]:
        """outputs: (batch, length or more, size) hidden states, or (batch, size). Gives embedding (batch, dims); and
        json, a list of its numbers, if asked for.
        """
        states = outputs if attention_mask is None else outputs[:, : attention_mask.shape[1]]
        pooled = (self.pool(states, attention_mask) if self.pool else states)[:, : self.dims]
        if self.normalize:
            pooled = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        answer = {"embedding": pooled.astype(self.dtype)}
        if self.with_json or asked.get("json"):
            answer["json"] = np.array([[json.dumps(row)] for row in answer["embedding"].tolist()], dtype=object)
        return answer


def mean(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean over each text's tokens."""
    weights = mask.astype(states.dtype)
    return np.einsum("nlh,nl->nh", states, weights) / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)


def largest(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The largest number of each column over each text's tokens."""
    return np.asarray(np.where(mask[:, :, None] == 1, states, -np.inf).max(axis=1))


def last(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The state of each text's last token."""
    return states[np.arange(len(states)), mask.sum(axis=1) - 1]


POOLINGS: dict[str, Callable[..., np.ndarray]] = {
    "cls": lambda states, _: states[:, 0],
    "mean": mean,
    "max": largest,
    "lasttoken": last,
}
