"""Where the time of one request went, by Triton's own statistics before and after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tbgen.export.errors import UserError
from tbgen.server.bench.parts import Front, callees_from_statistics, front_from_server
from tbgen.server.bench.stages import split
from tbgen.server.bench.statistics import ModelStatistics, Snapshot, snapshot, snapshot_difference
from tbgen.server.client.connection import Connection
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer

_T = TypeVar("_T")
_LOOKS, _PAUSE = 200, 0.01  # at most, and seconds between two


@dataclass(frozen=True)
class Stages:
    """What Triton had counted when a request began; requests of others at the same time count too."""

    gateway: Gateway
    model: FrontModel
    front: Front
    before: Snapshot

    @classmethod
    async def begun(cls, gateway: Gateway, model: FrontModel) -> Stages:
        """Raises NoAnswer."""
        return cls(gateway, model, *await _found(_look, gateway, model))

    async def ended(self, seconds: float) -> dict[str, Any]:
        """Milliseconds by stage; wire: between the gateway and Triton's clock. Raises NoAnswer."""
        return await _found(self._split, seconds)

    def _split(self, seconds: float) -> dict[str, Any]:
        with Connection(self.gateway.settings.address) as connection:
            moved = self._moved(connection)
            found = split(callees_from_statistics(connection, self.front, moved), moved, seconds * 1000)
        return {"milliseconds": dict(found.stages) if found else {}, "total": seconds * 1000}

    def _moved(self, connection: Connection) -> Snapshot:
        """What was counted since; Triton counts a request a moment after it has answered it."""
        for _ in range(_LOOKS):
            moved = snapshot_difference(self.before, snapshot(connection))
            if moved.get(self.model.model, ModelStatistics()).requests:
                break
            time.sleep(_PAUSE)
        return moved


async def _found(look: Callable[..., _T], *given: Any) -> _T:
    """What a look at the server finds, in a thread. Raises NoAnswer where it does not answer."""
    try:
        return await asyncio.to_thread(look, *given)
    except UserError as error:
        raise NoAnswer(503, error.message) from error


def _look(gateway: Gateway, model: FrontModel) -> tuple[Front, Snapshot]:
    with Connection(gateway.settings.address) as connection:
        front = front_from_server(connection, model.model, gateway.settings.repository)
        return front, snapshot(connection)
