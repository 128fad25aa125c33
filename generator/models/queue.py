"""How long requests may wait for their turn in front of a model, before others are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tbgen.export.errors import UserError
from tbgen.generator.models.graph import GraphModel, PythonModel, Step
from tbgen.generator.role import FRONT, POSTPROCESS, TOKENIZER

_NONE = "none"


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
    """The same models, those that run steps with a limit, an ensemble's in the models around its engine."""
    return list(models) if seconds is None else [_limited(model, seconds) for model in models]


def _limited(model: GraphModel, seconds: float) -> GraphModel:
    """One model with its part of the limit."""
    if not isinstance(model, PythonModel):
        return model
    if model.role.part == FRONT:
        return replace(model, queue=seconds)
    ends = {TOKENIZER: ("Entry", {"limit": seconds}), POSTPROCESS: ("Exit", dict[str, float]())}
    if model.role.part not in ends:
        return model
    step, settings = ends[model.role.part]
    return replace(model, steps=(*model.steps, Step("ensemble_limit.py", step, {"name": model.role.name, **settings})))
