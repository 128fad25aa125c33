"""A smoke request: Korean and emoji to every model that takes text, so that a broken locale or step shows at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tbgen.export.errors import UserError
from tbgen.server.connection import Connection, Json

SMOKE_TEXT = "오늘도 상한가 갔다 🔥📈"


def smoke(connection: Connection, models: Iterable[str]) -> list[str]:
    """Ask each model that takes nothing but text, and return the names of those asked.

    Raises UserError when one refuses, answers with nothing, or with a number that is none.
    """
    asked = []
    for model in models:
        inputs = text_inputs(connection.config(model))
        if inputs:
            check_answer(model, connection.infer(model, inputs))
            asked.append(model)
    return asked


def text_inputs(config: Json) -> dict[str, np.ndarray]:
    """One item of text for each input of a model, (1, ...) where it batches; empty where an input takes no text."""
    batching = int(config.get("max_batch_size", 0)) > 0
    inputs = {}
    for tensor in config.get("input", []):
        if tensor.get("optional"):
            continue
        if tensor["data_type"] != "TYPE_STRING":
            return {}
        dims = [max(1, int(size)) for size in tensor["dims"]]
        inputs[tensor["name"]] = np.full([1, *dims] if batching else dims, SMOKE_TEXT.encode("utf-8"), dtype=object)
    return inputs


def check_answer(model: str, outputs: dict[str, np.ndarray]) -> None:
    """Raise UserError unless there are outputs, and no number in them is NaN or infinite."""
    if not outputs:
        raise UserError(f"{model!r} answered {SMOKE_TEXT!r} with nothing")
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(
                f"{model!r} answered {SMOKE_TEXT!r} with numbers in {name!r} that are none (NaN or infinite)"
            )
