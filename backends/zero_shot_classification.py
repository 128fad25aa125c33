"""A text and candidate labels to scores, by a model that was trained to tell whether a sentence follows from a text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .item_rows import check_entries
from .numerics import json_column, softmax

Tensors = dict[str, np.ndarray]
LONGEST_TEMPLATE = 1000  # characters: it is read anew for each label of each item
TEMPLATE = {"hypothesis_template": {"type": "string"}}


class Hypotheses:
    """Turns each text and its candidate labels into rows of text and hypothesis.

    Args:
        folder: the version folder; nothing is read from it.
        hypothesis_template: a sentence with {} in the label's place, unless a request says otherwise.
        max_labels: most candidate labels of an item.
    """

    inputs = {"input_text": ("TYPE_STRING", [1]), "candidate_labels": ("TYPE_STRING", [-1])}
    outputs = {
        "input_text": ("TYPE_STRING", [1]),
        "text_pair": ("TYPE_STRING", [1]),
        "row_item": ("TYPE_INT32", [1]),
    }
    parameters = TEMPLATE

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        hypothesis_template: str = "This example is {}.",
        max_labels: int = 100,
    ) -> None:
        self.template = hypothesis_template
        self.max_labels = max_labels
        self.example = {"candidate_labels": ["경제", "sports"][:max_labels]}

    def __call__(
        self, input_text: np.ndarray, candidate_labels: np.ndarray, *, hypothesis_template: str | None = None
    ) -> Tensors:
        """input_text (batch, 1), candidate_labels (batch, labels) str. Gives input_text, text_pair, row_item, each
        (batch * labels, 1). Raises ValueError.
        """
        items, count = candidate_labels.shape
        check_entries("candidate_labels", count, self.max_labels)
        template = self.template if hypothesis_template is None else hypothesis_template
        if template.count("{}") != 1 or template.count("{") + template.count("}") != 2:  # Python would format others
            raise ValueError(
                f"parameter hypothesis_template takes a sentence with one {{}} and no other brace, not {template!r}"
            )
        if len(template) > LONGEST_TEMPLATE:
            raise ValueError(
                f"parameter hypothesis_template has {len(template)} characters, at most {LONGEST_TEMPLATE}"
            )
        labels = candidate_labels.ravel().tolist()
        for row, label in enumerate(labels):
            if not label.strip():
                raise ValueError(f"candidate_labels of item {row // count} has an empty entry, number {row % count}")
        hypotheses = [[template.replace("{}", label)] for label in labels]
        return {
            "input_text": input_text.repeat(count, axis=0),
            "text_pair": np.array(hypotheses, dtype=object),
            "row_item": np.arange(items, dtype=np.int32).repeat(count)[:, None],
        }


class ZeroShotClassification:
    """Scores each candidate label by how surely its hypothesis follows from the text.

    Args:
        folder: the version folder; nothing is read from it.
        labels: names of the model's classes; one begins with "entail".
        multi_label: score each label alone, against its contradiction, unless a request says otherwise.
        extras: outputs to give always, which else a request must ask for: json.
    """

    parameters = {"multi_label": {"type": "boolean"}, "json": {"type": "boolean"}}

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        labels: Sequence[str],
        multi_label: bool = False,
        extras: Sequence[str] = (),
    ) -> None:
        self.entailment = entailment_of(labels)
        if self.entailment < 0:
            raise ValueError(f"no class begins with 'entail': {', '.join(labels)}")
        self.contradiction = -1 if self.entailment == 0 else 0
        self.multi_label = multi_label
        self.inputs = {
            "outputs": ("TYPE_FP32", [len(labels)]),
            "row_item": ("TYPE_INT32", [1]),
            "candidate_labels": ("TYPE_STRING", [-1]),
        }
        self.outputs: dict[str, tuple[str, list[int]]] = {
            "labels": ("TYPE_STRING", [-1]),
            "scores": ("TYPE_FP32", [-1]),
        }
        self.outputs |= {"json": ("TYPE_STRING", [1])}
        self.with_json = "json" in extras
        self.on_request = () if self.with_json else ("json",)

    def __call__(
        self,
        outputs: np.ndarray,
        row_item: np.ndarray,
        candidate_labels: np.ndarray,
        *,
        multi_label: bool | None = None,
        **asked: bool,
    ) -> Tensors:
        """outputs: (rows, classes) logits. Gives labels and scores, (items, labels), best first; json if asked for."""
        logits = outputs.reshape(int(row_item[-1, 0]) + 1, -1, outputs.shape[1])
        alone = self.multi_label if multi_label is None else multi_label
        if alone or logits.shape[1] == 1:
            scores = softmax(logits[:, :, [self.contradiction, self.entailment]])[:, :, 1]
        else:
            scores = softmax(logits[:, :, self.entailment])
        order = np.argsort(-scores, axis=1, kind="stable")
        answer = {
            "labels": np.take_along_axis(candidate_labels, order, axis=1),
            "scores": np.take_along_axis(scores, order, axis=1).astype(np.float32),
        }
        if self.with_json or asked.get("json"):
            pairs = zip(answer["labels"].tolist(), answer["scores"].tolist(), strict=True)
            answer["json"] = json_column({"labels": names, "scores": row} for names, row in pairs)
        return answer


def entailment_of(labels: Sequence[str]) -> int:
    """The number of the class whose name begins with "entail", the first of several; -1: there is none."""
    return next((number for number, label in enumerate(labels) if label.lower().startswith("entail")), -1)
