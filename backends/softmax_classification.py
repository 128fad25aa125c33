"""Logits to classes of which one is right: the best of each text, the best few, and the probability of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .meter import labels_counted

Tensors = dict[str, np.ndarray]


@dataclass(eq=False)
class TextClassification:
    """Names the best class of each text and the best few."""

    folder: Path  # the version folder; nothing is read from it
    _: KW_ONLY
    labels: Sequence[str]  # names of the classes, in the order of the logits
    top_k: int = 5  # how many classes top_labels names unless a request says otherwise
    extras: Sequence[str] = ()  # outputs to give always, which else a request must ask for: logits, json

    activation = "softmax"
    parameters = dict[str, dict[str, Any]](
        top_k={"type": "integer", "minimum": 1, "maximum": 1_000_000},
        **{name: {"type": "boolean"} for name in ("logits", "json")},
    )

    def __post_init__(self) -> None:
        self.names = np.array(self.labels, dtype=object)
        self.counted = labels_counted(self.labels)
        self.counts = dict.fromkeys(self.counted, 0)
        per_class = ("TYPE_FP32", [len(self.labels)])
        self.inputs = {"outputs": per_class}
        self.outputs: dict[str, tuple[str, list[int]]] = {
            "label_index": ("TYPE_INT32", [1]),
            self.activation: per_class,
            "label": ("TYPE_STRING", [1]),
            "score": ("TYPE_FP32", [1]),
            "top_labels": ("TYPE_STRING", [-1]),
            "top_scores": ("TYPE_FP32", [-1]),
            "logits": per_class,
            "json": ("TYPE_STRING", [1]),
        }
        self.on_request = tuple(name for name in ("logits", "json") if name not in self.extras)

    def __call__(self, outputs: np.ndarray, *, top_k: int | None = None, **asked: bool) -> Tensors:
        """outputs: (batch, classes) logits. Gives label_index, label, score (batch, 1), the score of each class
        (batch, classes), and top_labels, top_scores (batch, k), best first. asked: whether to give logits, json too.
        """
        answer = self.ranked(outputs, top_k or self.top_k)
        return answer | self.extra_outputs(answer, outputs, asked)

    def ranked(self, outputs: np.ndarray, top_k: int) -> Tensors:
        """All that is always given; by logit, for the scores of two classes may round alike."""
        scores = self.scores(outputs).astype(np.float32)
        order = (-outputs).argsort(axis=1, kind="stable")[:, :top_k]
        for best in order[:, 0].tolist():
            self.counts[self.counted[best]] += 1
        top, names = scores[np.arange(len(order))[:, None], order], self.names.take(order)
        return {
            "label_index": order[:, :1].astype(np.int32),
            self.activation: scores,
            "label": names[:, :1],
            "score": top[:, :1],
            "top_labels": names,
            "top_scores": top,
        }

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities over the classes; in double precision, so that a row is the same in every batch."""
        powers = np.exp(np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def extra_outputs(self, answer: Tensors, outputs: np.ndarray, asked: Mapping[str, bool]) -> Tensors:
        """Logits and JSON, each if it is always given or asked for."""
        extras = {"logits": lambda: outputs, "json": lambda: self.json(answer)}
        return {name: extras[name]() for name in extras if asked.get(name) or name not in self.on_request}

    def json(self, answer: Tensors) -> np.ndarray:
        """(batch, 1) JSON: a list of {label, score}, best first."""
        rows = zip(answer["top_labels"].tolist(), answer["top_scores"].tolist(), strict=True)
        lists = [[{"label": name, "score": score} for name, score in zip(*row, strict=True)] for row in rows]
        return np.array([[json.dumps(each, ensure_ascii=False)] for each in lists], dtype=object)
