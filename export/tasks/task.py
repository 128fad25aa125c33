"""What a task is: the kind of model that it is exported from, and the steps that stand around its engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tbgen.export.exported import Exported
from tbgen.export.tasks.model_kind import ModelKind

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One use of a step: its file (a name in backends/, or a user's path), class, settings and the assets it reads.

    Attributes:
        separate: it is a model of its own on the server, with its own instances and environment.
    """

    file: str | Path
    name: str
    settings: Mapping[str, Any]
    assets: tuple[Path, ...] = ()
    separate: bool = False


Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Windows:
    """How a task reads the windows of texts that are longer than the model.

    head: the steps behind the engine, those that merge windows among them.
    reading: settings of the tokenizer beside lengths, stride and the number of windows.
    """

    head: Callable[[Exported, Options], Steps]
    reading: Callable[[Exported, Options], Mapping[str, Any]] = lambda *_: {}


@dataclass(frozen=True)
class Task:
    """What a task is exported from, and what its graph is made of.

    Attributes:
        head: the steps behind the engine, for an exported model and the options that a person set.
        model: the kind of model that is exported for it, if that is not the one of the task that it is `like`; with
            neither it takes a checkpoint for what its config.json says.
        rows: the steps before the tokenizer, which may turn an item into several rows.
        reading: settings of the tokenizer beside those that follow from the exported model.
        tokenizer: file and class of the tokenizer.
        several_rows: an item may have several rows, at its head one again.
        max_items: most items that one execution joins; rows are what costs, so it is small where an item has many.
        check_labels: raises UserError for classes of config.json that its kind of model cannot be built with.
        options: what a person may set: name -> rule, in the words of a step's request parameters.
        windows: how it reads long texts in windows; none, because `no_windows`.
    """

    head: Callable[[Exported, Options], Steps]
    model: ModelKind | None = None
    like: str | None = None
    rows: Callable[[Exported, Options], Steps] = lambda *_: ()
    reading: Callable[[Exported, Options], Mapping[str, Any]] = lambda *_: {}
    tokenizer: tuple[str, str] = ("tokenizer.py", "Tokenizer")
    several_rows: bool = False
    max_items: int = 128
    check_labels: Callable[[Sequence[str]], None] = lambda _: None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    windows: Windows | None = None
    no_windows: str = "no rule says how its answers would be merged"
