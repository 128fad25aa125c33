"""Logits to classes: the best class of each text, its name and probability, and the softmax over all classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


class TextClassification:
    """Names the best class of each text.

    Args:
        folder: the version folder; nothing is read from it.
        labels: names of the classes, in the order of the logits.
    """

    def __init__(self, folder: Path, *, labels: Sequence[str]) -> None:  # noqa: ARG002
        self.labels = np.array(labels, dtype=object)
        self.inputs = {"outputs": ("TYPE_FP32", [len(labels)])}
        self.outputs = {
            "label_index": ("TYPE_INT32", [1]),
            "softmax": ("TYPE_FP32", [len(labels)]),
            "label": ("TYPE_STRING", [1]),
            "score": ("TYPE_FP32", [1]),
        }

    def __call__(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """outputs: (batch, classes) logits. Gives label_index, label, score (batch, 1) and softmax (batch, classes)."""
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        softmax = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        best = softmax.argmax(axis=1, keepdims=True)
        return {
            "label_index": best.astype(np.int32),
            "softmax": softmax,
            "label": self.labels[best],
            "score": np.take_along_axis(softmax, best, axis=1),
        }
