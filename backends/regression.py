"""Logits of a regression as they are: the values."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np


class Regression:
    """Gives the values that a regression predicts.

    Args:
        folder: the version folder; nothing is read from it.
        labels: names of the values, in the order of the logits.
        extras: outputs to give always, which else a request must ask for: json.
    """

    parameters = {"json": {"type": "boolean"}}

    def __init__(self, folder: Path, *, labels: Sequence[str], extras: Sequence[str] = ()) -> None:  # noqa: ARG002
        self.labels = list(labels)
        self.inputs = {"outputs": ("TYPE_FP32", [len(labels)])}
        self.outputs: dict[str, tuple[str, list[int]]] = {"value": ("TYPE_FP32", [len(labels)])}
        self.outputs |= {"json": ("TYPE_STRING", [1])}
        self.with_json = "json" in extras
        self.on_request = () if self.with_json else ("json",)

    def __call__(self, outputs: np.ndarray, **asked: bool) -> dict[str, np.ndarray]:
        """outputs: (batch, values). Gives value (batch, values), and json, a list of {label, score}, if asked for."""
        answer = {"value": outputs.astype(np.float32)}
        if self.with_json or asked.get("json"):
            rows = [
                [{"label": k, "score": v} for k, v in zip(self.labels, row, strict=True)] for row in outputs.tolist()
            ]
            answer["json"] = np.array([[json.dumps(row, ensure_ascii=False)] for row in rows], dtype=object)
        return answer
