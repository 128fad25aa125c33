"""Logits to classes: the best class of each text, the best few, and the score of every class."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]


class TextClassification:
    """Names the best class of each text and the best few.

    Args:
        folder: the version folder; nothing is read from it.
        labels: names of the classes, in the order of the logits.
        activation: softmax where one class is right, sigmoid where each class may be.
        top_k: how many classes top_labels names unless a request says otherwise.
        threshold: the least score in top_labels unless a request says otherwise; sigmoid only.
        extras: outputs to give always, which else a request must ask for: logits, json.
    """

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        labels: Sequence[str],
        activation: str = "softmax",
        top_k: int = 5,
        threshold: float = 0.5,
        extras: Sequence[str] = (),
    ) -> None:
        self.labels = np.array(labels, dtype=object)
        self.activation = activation
        self.top_k = top_k
        self.threshold = threshold
        self.extras = set(extras)
        per_class = ("TYPE_FP32", [len(labels)])
        self.inputs = {"outputs": per_class}
        self.outputs: dict[str, tuple[str, list[int]]] = {
            "label_index": ("TYPE_INT32", [1]),
            activation: per_class,
            "label": ("TYPE_STRING", [1]),
            "score": ("TYPE_FP32", [1]),
            "top_labels": ("TYPE_STRING", [-1]),
            "top_scores": ("TYPE_FP32", [-1]),
        }
        self.outputs |= {"top_count": ("TYPE_INT32", [1])} if activation == "sigmoid" else {}
        self.outputs |= {"logits": per_class, "json": ("TYPE_STRING", [1])}
        self.on_request = tuple(name for name in ON_REQUEST if name not in extras)
        self.parameters = {name: PARAMETERS[name] for name in (*PARAMETERS_OF[activation], *ON_REQUEST)}

    def __call__(
        self, outputs: np.ndarray, *, top_k: int | None = None, threshold: float | None = None, **asked: bool
    ) -> Tensors:
        """outputs: (batch, classes) logits. Gives label_index, label, score (batch, 1), the score of each class
        (batch, classes), and top_labels, top_scores (batch, k), best first; with sigmoid top_count says how many count.
        asked: logits, json: whether to give these too.
        """
        extras = self.extras | {name for name, wanted in asked.items() if wanted}
        rank = self.ranked_row if len(outputs) == 1 and len(self.labels) <= FEW else self.ranked
        scores, order, top, names = rank(outputs, top_k or self.top_k)
        answer = {
            "label_index": order[:, :1].astype(np.int32),
            self.activation: scores,
            "label": names[:, :1],
            "score": top[:, :1],
            "top_labels": names,
            "top_scores": top,
            "logits": outputs,
        }
        if self.activation == "sigmoid":
            answer |= self.above(self.threshold if threshold is None else threshold, order, top)
        if "json" in extras:
            answer["json"] = self.json(answer)
        return {name: answer[name] for name in self.outputs if name not in ON_REQUEST or name in extras}

    def ranked(self, outputs: np.ndarray, top_k: int) -> tuple[np.ndarray, ...]:
        """The scores of a batch (batch, classes), and of the best few by logit, best first, each (batch, k): their
        indices, scores and labels.
        """
        scores = ACTIVATIONS[self.activation](outputs)
        order = np.argsort(-outputs, axis=1, kind="stable")[:, :top_k]
        return scores, order, np.take_along_axis(scores, order, axis=1), self.labels.take(order)

    def ranked_row(self, outputs: np.ndarray, top_k: int) -> tuple[np.ndarray, ...]:
        """The same of one row, in Python: each numpy function that is called costs more than a few classes do."""
        (logits,) = outputs.tolist()
        scores = SCORES[self.activation](logits)
        places = {index: (logit == logit, logit) for index, logit in enumerate(logits)}  # NaN last, as numpy sorts
        order = sorted(places, key=places.__getitem__, reverse=True)[:top_k]
        top, names = [scores[index] for index in order], [self.labels[index] for index in order]
        return np.array([scores], np.float32), np.array([order]), np.array([top], np.float32), np.array([names], object)

    def above(self, threshold: float, order: np.ndarray, top: np.ndarray) -> Tensors:
        """The best few that reach the threshold, first in their row; (batch, most of any text)."""
        kept = top >= threshold
        counts = kept.sum(axis=1, keepdims=True).astype(np.int32)
        labels, scores = np.where(kept, self.labels[order], ""), np.where(kept, top, np.float32(0))
        return {"top_count": counts} | self.trim({"top_count": counts, "top_labels": labels, "top_scores": scores})

    def trim(self, answer: Tensors) -> Tensors:
        """One request's top_labels and top_scores, as wide as its own texts need."""
        if "top_count" not in answer:
            return {}
        width = int(answer["top_count"].max(initial=0))
        return {name: answer[name][:, :width] for name in ("top_labels", "top_scores")}

    def json(self, answer: Tensors) -> np.ndarray:
        """(batch, 1) JSON: a list of {label, score}, best first."""
        labels, scores = answer["top_labels"].tolist(), answer["top_scores"].tolist()
        counts = answer["top_count"][:, 0].tolist() if "top_count" in answer else map(len, labels)
        rows: list[list[dict[str, Any]]] = [
            [{"label": name, "score": score} for name, score in zip(names[:count], row[:count], strict=True)]
            for names, row, count in zip(labels, scores, counts, strict=True)
        ]
        return np.array([[json.dumps(row, ensure_ascii=False)] for row in rows], dtype=object)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in FP32; computed in double precision, so that all ways round alike."""
    powers = np.exp(np.subtract(logits, logits.max(axis=-1, keepdims=True), dtype=np.float64))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) in FP32, without overflow; computed likewise."""
    powers = np.exp(-np.abs(logits, dtype=np.float64))
    return (np.where(logits >= 0, 1, powers) / (1 + powers)).astype(np.float32)


def softmax_of_row(logits: Sequence[float]) -> list[float]:
    """The softmax of one row, in Python."""
    most = max(logits)
    powers = [math.exp(logit - most) for logit in logits]
    total = sum(powers)
    return [power / total for power in powers]


def sigmoid_of_row(logits: Sequence[float]) -> list[float]:
    """The sigmoid of each number of one row, in Python."""
    powers = [(logit, math.exp(-abs(logit))) for logit in logits]
    return [(1 if logit >= 0 else power) / (1 + power) for logit, power in powers]


ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid}
SCORES = {"softmax": softmax_of_row, "sigmoid": sigmoid_of_row}
FEW = 64  # classes, up to which a row alone is ranked in Python
ON_REQUEST = ("logits", "json")
PARAMETERS: dict[str, dict[str, Any]] = {
    "top_k": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
    "threshold": {"type": "number", "minimum": 0, "maximum": 1},
    "logits": {"type": "boolean"},
    "json": {"type": "boolean"},
}
PARAMETERS_OF = {"softmax": ["top_k"], "sigmoid": ["top_k", "threshold"]}
