"""A smoke request: an item in Korean with emoji to each front model, so that a broken locale or step shows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import UserError
from tbgen.generator.calls import configs_in
from tbgen.generator.compare.example import NoExampleError, example_item
from tbgen.generator.role import front_names
from tbgen.server.client.connection import Connection

OnSkip = Callable[[str, str], object]  # a front model's name, why it is not asked


def smoke(connection: Connection, models: Iterable[Path], on_skip: OnSkip = lambda *_: None) -> list[str]:
    """Ask each model of which an item is known, and return the names of those asked.

    models: their folders; the server knows them by the folders' names.
    on_skip: told of front models that take something of which nothing is known; engines, and parts of ensembles, may.
    Raises UserError when one refuses, answers with nothing, or with a number that is none.
    """
    asked = []
    for folder in models:
        config = connection.config(folder.name)
        try:
            item = example_item(config, folder)
        except NoExampleError as error:
            if folder.name in front_names(configs_in(folder.parent) | {folder.name: config}, folder.parent):
                on_skip(folder.name, error.message)
            continue
        if item:
            check_answer(folder.name, item, connection.infer(folder.name, item))
            asked.append(folder.name)
    return asked


def check_answer(model: str, item: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> None:
    """Raise UserError unless there are outputs, and no number in them is NaN or infinite."""
    asked = _sent(item)
    if not outputs:
        raise UserError(f"{model!r} answered {asked!r} with nothing")
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{model!r} answered {asked!r} with numbers in {name!r} that are none (NaN or infinite)")


def _sent(item: dict[str, np.ndarray]) -> Any:
    """An item as a person reads it: the one text, or the values by name."""
    values = {name: [plain_value(each) for each in array.ravel()] for name, array in item.items()}
    plain = {name: value[0] if len(value) == 1 else value for name, value in values.items()}
    return next(iter(plain.values())) if len(plain) == 1 else plain


def plain_value(value: Any) -> Any:
    """A value of a tensor as JSON has it."""
    return value.decode("utf-8") if isinstance(value, bytes) else value.item()
