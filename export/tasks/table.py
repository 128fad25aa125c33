"""Table of the tasks: one for each file here, such as fill-mask in fill_mask.py, and those of installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.exported import Exported
from tbgen.export.reading import package_loading
from tbgen.export.tasks.model_kind import ModelKind
from tbgen.export.tasks.task import Task

_ENTRY_POINTS = "tbgen.tasks"


def _tasks() -> dict[str, Task]:
    files = sorted(file for file in Path(__file__).parent.glob("*.py") if file != Path(__file__))
    modules = {file.stem.replace("_", "-"): import_module(f"{__package__}.{file.stem}") for file in files}
    return {name: module.TASK for name, module in modules.items() if hasattr(module, "TASK")}


TASKS = _tasks()


def task_named(name: str) -> Task:
    """A task of the table, or of an installed package. Raises NoSuchName, which lists them."""
    if name in TASKS:
        return TASKS[name]
    tasks = all_tasks()
    if name not in tasks:
        raise NoSuchName("task", name, list(tasks))
    return tasks[name]


def all_tasks() -> Mapping[str, Task]:
    """The table of the tasks, with those of installed packages. Raises UserError."""
    tasks = dict(TASKS)
    for point in entry_points(group=_ENTRY_POINTS):
        with package_loading(f"task {point.name!r}"):
            task = point.load()
        if point.name in tasks or not isinstance(task, Task):
            what = "is there already" if point.name in tasks else "is no tbgen.Task"
            raise UserError(f"task {point.name!r} of {point.dist.name if point.dist else point.module} {what}")
        tasks[point.name] = task
    return tasks


def exported_as(task: str | None) -> str | None:
    """The task that checkpoints are read and exported for where `task` is asked for. Raises NoSuchName.

    It is the one that the row is like, or itself. A row with neither takes whatever a checkpoint is: None.
    """
    if task is None:
        return None
    row = task_named(task)
    return row.like or (task if row.model else None)


def model_of(task: str) -> ModelKind:
    """The kind of model that is exported for a task. Raises NoSuchName."""
    row = task_named(task)
    if row.model is None:
        raise NoSuchName("task", task, [name for name, each in TASKS.items() if each.model])
    return row.model


def graph_of(task: str, sentence: Mapping[str, Any]) -> ModelKind:
    """What a task's graph gives and takes, `sentence` as in Exported: one whose vectors are pooled already has no
    numbers per token, and what sentence-transformers trained on pairs reads pairs. Raises NoSuchName.
    """
    model = model_of(task)
    pooled, pair = sentence.get("pooled", False), sentence.get("pair", False)
    return replace(model, per_token=model.per_token and not pooled, pair=model.pair or pair)


def graph_of_export(exported: Exported) -> ModelKind:
    """What an exported graph gives and takes."""
    return graph_of(exported.task, exported.sentence)


def task_of_architecture(architecture: str) -> str | None:
    """The task that a class name of config.json stands for: BertForSequenceClassification -> text-classification."""
    models = (task.model for task in TASKS.values() if task.model)
    return next((model.task for model in models if architecture.endswith(model.architecture)), None)
