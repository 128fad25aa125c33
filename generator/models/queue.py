"""How long requests may wait for their turn in front of a model, before others are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tbgen.export.errors import UserError
from tbgen.generator.models.graph import GraphModel, PythonModel
from tbgen.generator.request import FIELDS
from tbgen.generator.role import FRONT

_NONE = "none"
IDLE_QUEUE = "--queue is for BLS and single models; leave it out, or name another --graph"


def queue_seconds(text: str) -> float | None:
    """The seconds that `--queue` names; None for no limit. Raises UserError."""
    if text == _NONE:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UserError(f"--queue takes seconds above 0, such as 4 or 0.5, or {_NONE}, not {text!r}")
    return seconds


def with_queue(models: Sequence[GraphModel], seconds: float | None) -> list[GraphModel]:
    """The same models; those that clients ask and that run steps refuse requests that would wait longer."""
    return [
        replace(model, queue=seconds) if isinstance(model, PythonModel) and _has_queue(model) else model
        for model in models
    ]


def refuse_idle_queue(models: Sequence[GraphModel], text: str) -> None:
    """Raise UserError for seconds that somebody chose and no model would have."""
    if text != FIELDS["queue"].default and not any(_has_queue(model) for model in models):
        raise UserError(IDLE_QUEUE)


def _has_queue(model: GraphModel) -> bool:
    """Whether clients ask it and it runs steps."""
    return isinstance(model, PythonModel) and model.role.part == FRONT
