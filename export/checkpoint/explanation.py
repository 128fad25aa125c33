"""What a checkpoint is taken for, said in a sentence: the task, what told it, and what else its head could be for."""

from __future__ import annotations

from collections.abc import Sequence

from tbgen.backends.zero_shot_classification import entailment_of
from tbgen.export.sentence.folder import Sentence
from tbgen.export.tasks.model_kind import CLASSES
from tbgen.export.tasks.table import TASKS, model_of

AS_NAMED = "as named"
_SHOWN = 5  # labels


def task_explanation(task: str, told_by: str, architecture: str, labels: Sequence[str], problem: str) -> str:
    """Such as `task text-classification, from architectures in config.json (BertForSequenceClassification, 2 labels
    a/b); also fits: text-classification --set pair=true`. A task that a person named has nothing beside it.
    """
    head = ", ".join(part for part in (architecture, _count_of(labels)) if part)
    said = f"task {task}, {told_by}" + (f" ({head})" if head else "")
    if task == "text-classification" and len(labels) == 1 and problem != "regression":
        said += "; its one label goes through sigmoid, as in transformers"
    others = [] if told_by == AS_NAMED else _other_tasks(task, labels, problem)
    return said + (f"; also fits: {', '.join(others)}" if others else "")


def task_source(sentence: Sentence | None) -> str:
    """What tells a folder's task, where no person does."""
    if sentence is None:
        return "from architectures in config.json"
    bare = "" if sentence.whole or sentence.said_in == "config.json" else " without modules.json, so without prompts,"
    return f"from {sentence.said_in}, a {sentence.kind} of sentence-transformers{bare} whose {_head_of(sentence)}"


def _head_of(sentence: Sentence) -> str:
    """What becomes of the model's answer, as sentence-transformers does it."""
    if sentence.kind == "CrossEncoder":
        return f"logits of pairs go through {sentence.activation}"
    pooling = sentence.pooling if isinstance(sentence.pooling, str) else " and ".join(sentence.pooling)
    layers = [layer.kind for layer in sentence.layers if layer.kind != "Pooling"]
    return ", then ".join([f"tokens are pooled by {pooling}", *layers, *(["Normalize"] if sentence.normalize else [])])


def _count_of(labels: Sequence[str]) -> str:
    """How many labels there are, and the first few."""
    if not labels:
        return ""
    names = "/".join(labels[:_SHOWN]) + ("/..." if len(labels) > _SHOWN else "")
    return f"{len(labels)} label{'s' if len(labels) > 1 else ''} {names}"


def _other_tasks(task: str, labels: Sequence[str], problem: str) -> list[str]:
    """What the same head may have been trained for, as one would ask for it; config.json does not tell them apart."""
    if model_of(task).architecture != CLASSES.architecture:
        return [name for name, row in TASKS.items() if row.model == model_of(task) and name != task]
    fits = {
        "zero-shot-classification": entailment_of(labels) >= 0,
        "text-classification": task != "text-classification",
        "text-classification --set pair=true": True,
        "text-classification --set activation=none (a regression)": len(labels) == 1 and problem != "regression",
        "rerank": len(labels) == 1 and task != "rerank",
    }
    return [words for words, fit in fits.items() if fit]
