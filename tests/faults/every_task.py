"""A repository with every task in every graph, around random checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.tasks.table import TASKS
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.models.graph import graphs_of_task, models_of
from tbgen.generator.models.long_text import task_for
from tbgen.generator.models.queue import with_queue
from tbgen.generator.models.write import write_models
from tests.export.checkpoints import checkpoint

_CLASSIFIER = "AutoModelForSequenceClassification"
# Task -> the head of its checkpoint, and the labels.
CHECKPOINTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "text-classification": (_CLASSIFIER, ("politics", "경제", "sports")),
    "token-classification": ("AutoModelForTokenClassification", ("O", "B-PER", "I-PER")),
    "embedding": ("AutoModel", ()),
    "fill-mask": ("AutoModelForMaskedLM", ()),
    "sparse-embedding": ("AutoModelForMaskedLM", ()),
    "question-answering": ("AutoModelForQuestionAnswering", ("start", "end")),
    "rerank": (_CLASSIFIER, ("score",)),
    "similarity": ("AutoModel", ()),
    "zero-shot-classification": (_CLASSIFIER, ("contradiction", "entailment")),
}
WINDOWED = "text-classification"


def write_every_task(folder: Path) -> Path:
    """The repository's folder, each task's models under its name, one also for texts that are read in windows."""
    repository = folder / "repository"
    for task, (auto, labels) in CHECKPOINTS.items():
        named: dict[str, Any] = {"id2label": dict(enumerate(labels))} if labels else {}
        checkpoint(folder / task, "bert", auto, **named)
        read = checkpoint_from_folder(folder / task, task=task)
        exported = onnx_from_checkpoint(read, folder / f"{task}_export", layout="packed")
        for name, long_text in ((task, None), *([(f"{task}_windows", "windows")] if task == WINDOWED else [])):
            row = task_for(task, TASKS[task], long_text)
            models = models_of(name, exported, task=row, engine=ENGINES["onnx"], graphs=graphs_of_task(row))
            write_models(with_queue(models, 4.0), repository, {})
    return repository
