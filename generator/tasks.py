"""Table of the tasks: which step file turns an engine's outputs into answers, and its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tbgen.export.exported import Exported


@dataclass(frozen=True)
class Task:
    """One task head of backends/: its file, its class, and its settings read from the exported model."""

    file: str
    step: str
    settings: Callable[[Exported], dict[str, Any]]


TASKS = {
    "text-classification": Task(
        "text_classification.py", "TextClassification", lambda exported: {"labels": list(exported.labels)}
    ),
}
