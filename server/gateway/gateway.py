"""What every endpoint works with: the server, its models, their tokens, and the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request

from tbgen.export.run import Tensors
from tbgen.generator.compare.example import Item
from tbgen.server.gateway.asking import ask, text_count
from tbgen.server.gateway.body import read_json, while_connected
from tbgen.server.gateway.models import FrontModel, FrontModels
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.settings import GatewaySettings
from tbgen.server.gateway.tokens import Tokens
from tbgen.server.gateway.triton import Triton


class Gateway:
    """One gateway before one server; made inside the event loop that serves it."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.triton = Triton(settings.address, settings.seconds)
        self.models = FrontModels(self.triton, settings.repository, settings.models)
        self.tokens = Tokens()
        self.in_flight = 0

    async def close(self) -> None:
        self.tokens.close()
        await self.triton.close()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Count a request while it is being answered."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def body(self, request: Request) -> dict[str, Any]:
        """The JSON object of a request's body. Raises NoAnswer."""
        return await read_json(request, self.settings)

    async def answers(
        self,
        request: Request,
        model: FrontModel,
        items: Sequence[Item],
        outputs: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
    ) -> list[Tensors]:
        """The outputs for each item. Raises NoAnswer."""
        self.check_size(items)
        return await while_connected(request, ask(self.triton, model, items, parameters or {}, outputs))

    async def counted(
        self,
        request: Request,
        model: FrontModel,
        items: Sequence[Item],
        outputs: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
    ) -> tuple[list[Tensors], int | None]:
        """The same, and how many tokens the engine has read for it, if that can be known. Raises NoAnswer."""
        self.check_size(items)
        count = asyncio.create_task(self.tokens.count(model, items, parameters or {}))
        count.add_done_callback(lambda task: task.cancelled() or task.exception())  # the model's sentence goes first
        try:
            return await self.answers(request, model, items, outputs, parameters), await count
        finally:
            count.cancel()

    def check_size(self, items: Sequence[Item]) -> None:
        """Raise NoAnswer for no texts, and for too many."""
        if not items:
            raise NoAnswer(400, "there is no text in it")
        if (count := text_count(items)) > self.settings.texts:
            raise NoAnswer(413, f"{count} texts in one request; this gateway takes at most {self.settings.texts}")
