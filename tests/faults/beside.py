"""Clients who ask what they may beside those who do not: each answer is held against the one that they had alone."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from tbgen.export.errors import UserError
from tbgen.generator.calls import configs_in, parts_of
from tbgen.generator.compare.example import example_item
from tbgen.generator.role import front_names
from tbgen.server.client.connection import Connection
from tests.waiting import FOREVER

# What a good request may hear: of a queue that is full, and of Triton, where another one's last string is cut short.
HEARD = {
    "refused": "more is asked than it answers",
    "Triton failed its run": "incomplete string data for inference input",
}


class Beside:
    """A good request to each front model of a server, and what it is answered while nobody else asks."""

    def __init__(self, url: str, repository: Path) -> None:
        self.url, self.own = url, threading.local()
        configs = configs_in(repository)
        fronts = front_names(configs, repository)
        self.items = {model: example_item(configs[model], repository / model) for model in fronts}
        with Connection(url, seconds=FOREVER) as connection:
            self.alone = {model: connection.infer(model, item) for model, item in self.items.items()}
        # Who asks a part of an ensemble has neighbours in all who ask the ensemble.
        self.fronts = {part.name: model for model in fronts for part in parts_of(repository / model)}
        self.fronts |= {model: model for model in fronts}

    def ask(self, name: str) -> str:
        """Ask the front model that a name is, or is a part of: `right`, a name of HEARD, or what is wrong."""
        model = self.fronts[name]
        try:
            answer = self._connection().infer(model, self.items[model])
        except UserError as error:
            return next((name for name, said in HEARD.items() if said in error.message), error.message)
        alone = self.alone[model]
        if answer.keys() == alone.keys() and all(is_same(answer[each], alone[each]) for each in alone):
            return "right"
        return f"{model} answered {answer}, alone {alone}"

    def _connection(self) -> Connection:
        """This thread's."""
        if not hasattr(self.own, "connection"):
            self.own.connection = Connection(self.url, seconds=FOREVER)
        connection: Connection = self.own.connection
        return connection


def is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two outputs are the same, but for what another company in the run rounds otherwise."""
    if one.dtype == object or one.shape != other.shape:
        return bool(np.array_equal(one, other))
    return bool(np.allclose(one, other, atol=1e-4))
