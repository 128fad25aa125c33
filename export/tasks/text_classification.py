"""text-classification: classes of a text or of a pair, or the values of a regression."""

from __future__ import annotations

from typing import Any

from tbgen.backends.text_classification import THRESHOLD
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tasks.model_kind import CLASSES
from tbgen.export.tasks.prompts import prompts
from tbgen.export.tasks.settings import COUNT, FLAG, PAIR, merge, option_settings
from tbgen.export.tasks.task import Options, Step, Steps, Task, Windows

# What makes scores of logits, where softmax does not, and which options each of these ways can use.
_ACTIVATIONS = {"regression": "none", "multi_label_classification": "sigmoid"}
_CLASSIFYING = {
    "softmax": ("top_k", "json", "logits"),
    "sigmoid": ("top_k", "json", "logits", "threshold"),
    "none": ("json",),
}
# What a CrossEncoder's scores go through -> the activation that gives them; none: what the checkpoint's problem says.
_SAVED = {"Identity": None, "Sigmoid": "sigmoid", "Softmax": "softmax"}


def _classes(exported: Exported, options: Options) -> Steps:
    """Raises UserError for options that the activation cannot use."""
    activation = (
        options.get("activation") or _saved_activation(exported) or _ACTIVATIONS.get(exported.problem, "softmax")
    )
    for name in _CLASSIFYING["sigmoid"]:
        if name in options and name not in _CLASSIFYING[activation]:
            others = " or ".join(other for other, names in _CLASSIFYING.items() if name in names)
            raise UserError(
                f"option {name} has no use with the activation {activation}, by which this checkpoint is read; "
                f"leave it out, or set activation to {others}"
            )
    settings = {"labels": list(exported.labels)} | option_settings(options, *_CLASSIFYING[activation])
    if exported.sentence.get("activation") == "Identity" and "logits" in _CLASSIFYING[activation]:
        settings |= option_settings({"logits": True, **options}, "logits", "json")  # what CrossEncoder.predict gives
    if activation == "none":
        return (Step("regression.py", "Regression", settings),)
    named = {"activation": activation} if activation != "softmax" else {}
    return (Step("text_classification.py", "TextClassification", settings | named),)


def _saved_activation(exported: Exported) -> str | None:
    """The activation that a CrossEncoder was saved with, if any. Raises UserError for one that no head has."""
    saved = exported.sentence.get("activation")
    if saved is None:
        return None
    if saved not in _SAVED:
        raise UserError(
            f"this CrossEncoder gives its classes through {saved}; text-classification has {', '.join(_CLASSIFYING)}: "
            "choose one with --set activation="
        )
    return _SAVED[saved] or ("none" if len(exported.labels) == 1 else None)


def _merged_classes(exported: Exported, options: Options) -> Steps:
    """The windows' probabilities, or the values of a regression, in their mean."""
    head = _classes(exported, options)
    rule = "mean" if head[0].name == "Regression" else head[0].settings.get("activation", "softmax")
    return (merge(exported, rule), *head)


def _reads_pairs(exported: Exported, options: Options) -> bool:
    """Whether texts come in twos: if a person says so, or a CrossEncoder was saved."""
    return bool(options.get("pair", exported.sentence.get("pair", False)))


def _reading(exported: Exported, options: Options) -> dict[str, Any]:
    """Texts, or pairs of them; of a pair with nothing transformers' pipeline reads the first text alone."""
    if not _reads_pairs(exported, options):
        return {}
    return PAIR if exported.sentence.get("pair") else PAIR | {"first_alone": True}


TASK = Task(
    _classes,
    CLASSES,
    rows=lambda exported, options: prompts(exported, options) if _reads_pairs(exported, options) else (),
    reading=_reading,
    options={
        "pair": FLAG,
        "activation": {"type": "string", "enum": list(_CLASSIFYING)},
        "top_k": COUNT,
        "threshold": THRESHOLD,
        "logits": FLAG,
        "json": FLAG,
    },
    windows=Windows(_merged_classes, _reading),
)
