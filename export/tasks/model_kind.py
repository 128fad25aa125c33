"""The kinds of model that tasks are exported from: the heads of transformers, and what each of them gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ModelKind:
    """A kind of model: what it is called in config.json, and what its graph gives.

    `architecture` ends the class name in config.json, which stands for `task` unless a person names another; `outputs`
    maps ONNX names to the answer's fields. `width` is the kind of the outputs' last axis: labels, hidden, vocabulary,
    or sequence (one number per token). `pair`: its texts come in twos, such as a question and its context.
    """

    architecture: str
    task: str
    outputs: Mapping[str, str]
    width: str
    per_token: bool = False
    pair: bool = False

    @property
    def auto(self) -> str:
        """The class of transformers that loads it, such as AutoModelForMaskedLM."""
        return f"AutoModel{self.architecture.removeprefix('Model')}"


CLASSES = ModelKind("ForSequenceClassification", "text-classification", {"outputs": "logits"}, "labels")
PAIR_CLASSES = replace(CLASSES, pair=True)
HIDDEN = ModelKind("Model", "embedding", {"outputs": "last_hidden_state"}, "hidden", per_token=True)
VOCABULARY = ModelKind("ForMaskedLM", "fill-mask", {"outputs": "logits"}, "vocabulary", per_token=True)
TOKEN_CLASSES = ModelKind(
    "ForTokenClassification", "token-classification", {"outputs": "logits"}, "labels", per_token=True
)
SPANS = ModelKind(
    "ForQuestionAnswering",
    "question-answering",
    {"start_logits": "start_logits", "end_logits": "end_logits"},
    "sequence",
    per_token=True,
    pair=True,
)
