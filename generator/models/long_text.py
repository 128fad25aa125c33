"""What becomes of texts longer than the model: truncated, rejected, or read in windows whose answers are merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tbgen.backends.text_tokenizer import KEEP_ALL
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tasks.settings import COUNT
from tbgen.export.tasks.table import all_tasks
from tbgen.export.tasks.task import Options, Task
from tbgen.generator.request import LONG_TEXTS

_WINDOW_ITEMS = 32  # most items that one execution joins: each may become many rows
_WINDOW_OPTIONS: dict[str, Mapping[str, Any]] = {"stride": COUNT, "max_windows": COUNT}
_IN_CONTEXT = "question-answering"  # it reads windows of its own


def task_for(name: str, task: Task, long_text: str | None) -> Task:
    """The task with long texts treated so; None leaves it at the task's own. Raises UserError."""
    if long_text is None:
        return task
    if name == _IN_CONTEXT:
        return _in_context(task, long_text)
    if long_text == "windows":
        return _in_windows(name, task)
    how = {"truncation": KEEP_ALL} if long_text == "reject" else {}
    return replace(task, reading=lambda exported, options: {**task.reading(exported, options), **how})


def check_long_text(word: str | None) -> None:
    """Raise UserError for a word that does not say what becomes of long texts."""
    if word not in (None, *LONG_TEXTS):
        raise UserError(f"long texts cannot be treated as {word!r}; --long-text takes {', '.join(LONG_TEXTS)}")


def _in_context(task: Task, long_text: str) -> Task:
    """Question answering reads its context in windows of its own, or refuses one that needs several."""
    if long_text == "truncate":
        raise UserError(
            f"{_IN_CONTEXT} reads a long context in windows, whatever its length; leave --long-text out, or refuse "
            "such contexts with --long-text reject"
        )
    most = {"max_windows": 1} if long_text == "reject" else {}
    return replace(task, reading=lambda exported, options: {**task.reading(exported, options), **most})


def _in_windows(name: str, task: Task) -> Task:
    """The task over BLS, with the tokenizer that cuts and the steps that merge. Raises UserError."""
    row = task.windows
    if row is None:
        others = ", ".join(other for other, each in all_tasks().items() if each.windows)
        raise UserError(f"{name} cannot read windows: {task.no_windows}. --long-text windows works for {others}")

    def reading(exported: Exported, options: Options) -> dict[str, Any]:
        longest = exported.fixed_length or exported.max_length
        settings = {"stride": longest // 4} | {key: options[key] for key in _WINDOW_OPTIONS if key in options}
        if (stride := settings["stride"]) >= longest // 2:
            raise UserError(f"a stride of {stride} is too long for windows of {longest} tokens; set less than half")
        return {**settings, **row.reading(exported, options)}

    return replace(
        task,
        head=row.head,
        reading=reading,
        tokenizer=("windows.py", "TextWindows"),
        several_rows=True,
        max_items=min(task.max_items, _WINDOW_ITEMS),
        options=dict(task.options) | _WINDOW_OPTIONS,
    )
