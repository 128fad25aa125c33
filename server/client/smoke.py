"""A smoke request: an item in Korean with emoji to each front model, so that a broken locale or step shows at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import UserError
from tbgen.generator.calls import configs_in
from tbgen.generator.compare.example import NoExampleError, example_item
from tbgen.generator.role import front_names
from tbgen.server.client.client import is_broken
from tbgen.server.client.connection import Connection
from tbgen.server.client.replies import JsonObject


@dataclass(frozen=True)
class SmokeAnswer:
    """What came of a model's request: nothing is wrong, or what is; `unknown`: why it was not asked."""

    model: str
    wrong: str = ""
    unknown: str = ""


def smoke(connection: Connection, folders: Sequence[Path]) -> Iterator[SmokeAnswer]:
    """Ask each model of which an item is known, one after the other; front models that take something else come last.

    Wrong is one that refuses, answers with nothing, or with a number that is none.

    folders: of one repository's models; the server knows them by the folders' names.
    """
    lacking: dict[str, tuple[JsonObject, str]] = {}
    for folder in folders:
        try:
            config = connection.config(folder.name)
            item = example_item(config, folder)
            if item:
                check_answer(folder.name, item, connection.infer(folder.name, item))
                yield SmokeAnswer(folder.name)
        except NoExampleError as error:
            lacking[folder.name] = config, error.message
        except UserError as error:
            yield SmokeAnswer(folder.name, wrong=error.message)
    if lacking:  # engines, and parts of ensembles, may
        repository = folders[0].parent
        configs = configs_in(repository) | {name: config for name, (config, _) in lacking.items()}
        fronts = front_names(configs, repository)
        yield from (SmokeAnswer(name, unknown=why) for name, (_, why) in lacking.items() if name in fronts)


def check_answer(model: str, item: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> None:
    """Raise UserError unless there are outputs, and no number in them is NaN or infinite."""
    asked = _sent(item)
    if not outputs:
        raise UserError(f"{model!r} answered {asked!r} with nothing")
    for name, array in outputs.items():
        if is_broken(array):
            raise UserError(f"{model!r} answered {asked!r} with numbers in {name!r} that are none (NaN or infinite)")


def _sent(item: dict[str, np.ndarray]) -> Any:
    """An item as a person reads it: the one text, or the values by name."""
    values = {name: [plain_value(each) for each in array.ravel()] for name, array in item.items()}
    plain = {name: value[0] if len(value) == 1 else value for name, value in values.items()}
    return next(iter(plain.values())) if len(plain) == 1 else plain


def plain_value(value: Any) -> Any:
    """A value of a tensor as JSON has it."""
    return value.decode("utf-8") if isinstance(value, bytes) else value.item()
