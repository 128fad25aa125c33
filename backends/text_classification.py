"""Logits to classes, of which one is right or each may be: the best of each text, the best few, every class's score."""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from .softmax_classification import Tensors
from .softmax_classification import TextClassification as SoftmaxClassification

THRESHOLD = {"type": "number", "minimum": 0, "maximum": 1}


@dataclass(eq=False)
class TextClassification(SoftmaxClassification):
    """Names the best class of each text and the best few."""

    _: KW_ONLY
    activation: str = "softmax"  # where one class is right; sigmoid where each may be
    threshold: float = 0.5  # the least score in top_labels unless a request says otherwise; sigmoid only

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation == "sigmoid":
            last = {name: self.outputs.pop(name) for name in ("logits", "json")}
            self.outputs |= {"top_count": ("TYPE_INT32", [1])} | last
            self.parameters = {"top_k": self.parameters["top_k"], "threshold": THRESHOLD} | self.parameters

    def __call__(
        self, outputs: np.ndarray, *, top_k: int | None = None, threshold: float | None = None, **asked: bool
    ) -> Tensors:
        """outputs: (batch, classes) logits. Gives the same; with sigmoid top_count, how many of top_labels count."""
        answer = self.ranked(outputs, top_k or self.top_k)
        if self.activation == "sigmoid":
            answer |= self.above(self.threshold if threshold is None else threshold, answer)
        return answer | self.extra_outputs(answer, outputs, asked)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """The softmax; or 1 / (1 + exp(-x)) without overflow, in double precision likewise."""
        if self.activation == "softmax":
            return super().scores(logits)
        powers = np.exp(-np.abs(logits, dtype=np.float64))
        return np.asarray(np.where(logits >= 0, 1, powers) / (1 + powers))

    def above(self, threshold: float, answer: Tensors) -> Tensors:
        """The best few that reach the threshold, first in their row; (batch, most of any text)."""
        names, top = answer["top_labels"], answer["top_scores"]
        kept = top >= threshold
        counts = kept.sum(axis=1, keepdims=True).astype(np.int32)
        best = {"top_labels": np.where(kept, names, ""), "top_scores": np.where(kept, top, np.float32(0))}
        return {"top_count": counts} | self.trim({"top_count": counts} | best)

    def trim(self, answer: Tensors) -> Tensors:
        """One request's top_labels and top_scores, as wide as its own texts need."""
        if "top_count" not in answer:
            return {}
        width = int(answer["top_count"].max(initial=0))
        return {name: answer[name][:, :width] for name in ("top_labels", "top_scores")}

    def json(self, answer: Tensors) -> np.ndarray:
        """(batch, 1) JSON: a list of {label, score}, best first, of those that count."""
        if "top_count" not in answer:
            return super().json(answer)
        of_row, columns = super().json, ("top_labels", "top_scores")
        counts = enumerate(answer["top_count"][:, 0].tolist())
        return np.concatenate(
            [of_row({name: answer[name][row : row + 1, :n] for name in columns}) for row, n in counts]
        )
