"""zero-shot-classification: scores of candidate labels, each a hypothesis that a text entails or does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tbgen.backends.zero_shot_classification import entailment_of
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tasks.model_kind import PAIR_CLASSES
from tbgen.export.tasks.settings import COUNT, FLAG, PAIR, TEXT, merge, option_settings
from tbgen.export.tasks.task import Options, Step, Steps, Task, Windows

# The rows that stand for an item, as a client knows them.
_ROWS: dict[str, Any] = PAIR | {"rows_of": ["input_text and candidate_labels"]}


def _check_labels(labels: Sequence[str]) -> None:
    """Raise UserError for a model that was not trained on entailment."""
    if entailment_of(labels) < 0:
        raise UserError(
            f"zero-shot-classification needs a class that begins with 'entail', this checkpoint has "
            f"{', '.join(labels)}; name its classes with --label"
        )


def _entailment(exported: Exported, options: Options) -> Steps:
    """Raises UserError for a model that was not trained on entailment."""
    _check_labels(exported.labels)
    settings = {"labels": list(exported.labels)} | option_settings(options, "multi_label", "json")
    return (Step("zero_shot_classification.py", "ZeroShotClassification", settings),)


def _merged_entailment(exported: Exported, options: Options) -> Steps:
    """Of each hypothesis, what the window says from which it follows most surely."""
    head = _entailment(exported, options)
    return (merge(exported, "surest", by=entailment_of(exported.labels)), *head)


def _hypotheses(_: Exported, options: Options) -> Steps:
    """A text and candidate labels as pairs."""
    settings = option_settings(options, "hypothesis_template", "max_labels")
    return (Step("zero_shot_classification.py", "Hypotheses", settings),)


TASK = Task(
    _entailment,
    PAIR_CLASSES,
    rows=_hypotheses,
    reading=lambda *_: _ROWS | {"truncation": "only_first"},
    several_rows=True,
    max_items=16,
    options={"hypothesis_template": TEXT, "multi_label": FLAG, "max_labels": COUNT, "json": FLAG},
    windows=Windows(_merged_entailment, lambda *_: _ROWS | {"cut": "first"}),
)
