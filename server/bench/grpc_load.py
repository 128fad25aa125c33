"""gRPC load from one thread: ready-made messages through grpc.aio's generic stub, answers compared as bytes.

Costs 100 to 200 microseconds CPU a request, some ten times the HTTP load: the least of grpc's four ways in Python.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import grpc  # type: ignore[import-untyped]

from tbgen.server.bench.answers import Checker
from tbgen.server.bench.tally import NOT_SENT, Order, Tally, Ticker
from tbgen.server.client.connection import channel_options

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_CHANNELS = 8  # most connections of one worker; more clients share them
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)  # otherwise all channels share one connection


class GrpcLoad:
    """The clients of one worker."""

    def __init__(self, order: Order, checker: Checker, tally: Tally) -> None:
        self.order, self.checker, self.tally = order, checker, tally
        self.next_index = order.indexes()
        self.end = order.end
        self.metadata = tuple(order.headers) or None

    def run(self, watch: Ticker) -> None:
        """As HttpLoad.run: `run_all` waits for what is out."""
        asyncio.run(self.run_all(watch))

    async def run_all(self, watch: Ticker) -> None:
        channels = [self.open_channel() for _ in range(min(self.order.clients, _CHANNELS))]
        calls = [channel.unary_unary(_METHOD) for channel in channels]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        await asyncio.sleep(max(0.0, -watch.now()))
        ticking = asyncio.create_task(self.tick(watch))
        await (self.closed_loop(calls, watch) if self.order.schedule is None else self.open_loop(calls, watch))
        ticking.cancel()
        for channel in channels:
            await channel.close()

    def open_channel(self) -> Any:
        """A channel of its own connection."""
        options = [*channel_options(self.order.url), *_OPTIONS]
        if self.order.tls:
            return grpc.aio.secure_channel(self.order.url, grpc.ssl_channel_credentials(), options)
        return grpc.aio.insecure_channel(self.order.url, options)

    async def tick(self, watch: Ticker) -> None:
        while True:
            watch.tick(watch.now())
            await asyncio.sleep(0.05)

    async def closed_loop(self, calls: Sequence[Any], watch: Ticker) -> None:
        """Each client sends its next request when its last one is answered."""

        async def client(call: Any) -> None:
            while (now := watch.now()) < self.end:
                await self.ask(call, now, watch)

        await asyncio.gather(*(client(calls[number % len(calls)]) for number in range(self.order.clients)))

    async def open_loop(self, calls: Sequence[Any], watch: Ticker) -> None:
        """Requests leave at their intended times, or as soon after as one of the clients is free."""
        free = asyncio.Semaphore(self.order.clients)
        asking: set[asyncio.Task[None]] = set()

        async def ask(call: Any, intended: float) -> None:
            try:
                await self.ask(call, intended, watch)
            finally:
                free.release()

        schedule = self.order.schedule or ()
        for number, (intended, call) in enumerate(zip(schedule, itertools.cycle(calls), strict=False)):
            await asyncio.sleep(max(0.0, intended - watch.now()))
            all_busy = free.locked()
            await free.acquire()
            if all_busy and watch.now() >= self.end:
                self.tally.fail(NOT_SENT, len(schedule) - number)
                break
            task = asyncio.create_task(ask(call, intended))
            asking.add(task)
            task.add_done_callback(asking.discard)
        await asyncio.gather(*asking)

    async def ask(self, call: Any, intended: float, watch: Ticker) -> None:
        """One request; its answer is counted."""
        index, sent = next(self.next_index), watch.now()
        try:
            body = await call(self.order.requests[index], timeout=self.order.timeout, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            self.tally.fail(f"{error.code().name}: {error.details()}"[:200])
            await asyncio.sleep(0.01 if error.code() is grpc.StatusCode.UNAVAILABLE else 0)
            return
        answered = watch.now()
        if found := self.checker.difference(index, body):
            self.tally.change(found)
        else:
            self.tally.answer(index, intended, sent, answered)
