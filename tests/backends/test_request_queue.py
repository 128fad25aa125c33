"""Requests that wait in a model's own queue: each gets one answer, whatever happens meanwhile."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from tbgen.backends import request_queue
from tbgen.backends.clients import Client
from tbgen.backends.request_queue import RequestQueue
from tests.waiting import FOREVER, wait_until


class Asked:
    """A request as Triton hands it over; `cancelled` is what it says when it is asked."""

    cancelled = False

    def __init__(self, timeout: int = 0) -> None:
        self.microseconds, self.trace = timeout, None

    def requested_output_names(self) -> list[str]:
        return ["y"]

    def timeout(self) -> int:
        return self.microseconds

    def is_cancelled(self) -> bool:
        return self.cancelled

    def get_response_sender(self) -> Asked:
        return self


class Model:
    """Runs clients while it may, and remembers whom it ran and whom it sent an answer."""

    def __init__(self, seconds: float = 600, items: int = 64) -> None:
        self.runs, self.sent, self.raises = list[int](), list[Client](), dict[int, BaseException]()
        self.may, self.counts = threading.Event(), defaultdict[str, float](float)
        self.queue = RequestQueue(self.run, self.sent.append, seconds, items, self.counts)

    def run(self, clients: list[Client]) -> None:
        self.runs.append(sum(not client.gone() for client in clients))
        assert self.may.wait(FOREVER)
        if len(self.runs) in self.raises:
            raise self.raises[len(self.runs)]
        for client in clients:
            client.answer = {} if not client.gone() else None

    def hands_over(self, count: int, **more: int) -> list[Client]:
        clients = [Client(Asked(**more), lambda _: ({"x": np.ones((1, 1))}, "{}")) for _ in range(count)]
        self.queue(clients)
        return clients

    @contextmanager
    def standing(self) -> Iterator[None]:
        """The thread stands in a run of 32."""
        first = self.hands_over(32)
        wait_until(lambda: self.runs == [32])
        yield
        self.may.set()
        wait_until(lambda: set(first) <= set(self.sent))
        self.queue.thread.shutdown()


def test_what_is_little_is_run_at_once() -> None:
    model = Model()
    model.may.set()
    assert [client.sender for client in model.hands_over(31)] == [None] * 31
    assert (model.runs, model.sent) == ([31], [])


@pytest.mark.parametrize("raised", [ValueError(), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_all_are_sent_something_whatever_a_run_raises(raised: BaseException) -> None:
    model = Model()
    model.raises = {1: raised}
    with model.standing():
        later = model.hands_over(40)
    assert len(model.sent) == 72
    assert [client.answer for client in model.sent[:32]] == [None] * 32
    assert [client.answer for client in later] == [{}] * 40


def test_who_has_gone_while_waiting_is_not_run() -> None:
    model = Model()
    with model.standing():
        timed_out = model.hands_over(32, timeout=1)
        cancelled, stay = model.hands_over(32), model.hands_over(32)
        for client in cancelled:
            client.request.cancelled = True
        time.sleep(0.02)  # before 0.01 nobody asks
    assert sum(model.runs) == 64
    assert [str(client.left) for client in timed_out] == ["('Request timeout expired', 'UNAVAILABLE')"] * 32
    assert {client.left.args[1] for client in cancelled} == {"CANCELLED"}
    assert [client.answer for client in stay] == [{}] * 32


def test_whose_turn_comes_too_late_is_refused_then() -> None:
    model = Model(seconds=0.02, items=32)
    with model.standing():
        (late,) = model.hands_over(1)
        wait_until(lambda: time.monotonic() > model.queue.oldest + model.queue.seconds / 4)
        (refused,) = model.hands_over(1)
        wait_until(lambda: time.monotonic() > late.until)
    assert (late.sender is None, refused.sender is None) == (False, True)
    assert late.left.args == refused.left.args
    assert late.left.args[0].startswith("more is asked than it answers, the wait may be over 0.02 s")
    assert sum(model.runs) == 32
    assert (model.counts["waited"], model.counts["refused"]) == (33, 1)


def test_who_is_answered_is_ahead_of_nobody() -> None:
    """A client that asks again at once would count twice, and others be refused for it."""
    model, ahead = Model(), list[int]()

    def send(client: Client) -> None:
        ahead.append(model.queue.came - model.queue.done)
        model.sent.append(client)

    model.queue.send = send
    with model.standing():
        model.hands_over(40)
    assert ahead == [*reversed(range(72))]


def test_a_slow_first_run_alone_refuses_nobody() -> None:
    model = Model()
    model.queue.cost = 100  # seconds, as after a run that also warmed up
    with model.standing():
        later = model.hands_over(64)
    assert [client.answer for client in later] == [{}] * 64


def test_a_run_that_the_machine_held_up_says_nothing_of_an_item(monkeypatch: pytest.MonkeyPatch) -> None:
    model, clock = Model(), itertools.count(step=2.0)  # seconds that each run takes
    model.may.set()
    for _ in range(4):
        model.hands_over(1)
    quick = model.queue.cost
    monkeypatch.setattr(request_queue, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    costs = []
    for _ in range(3):
        model.queue.timed([Client(Asked(), lambda _: ({"x": np.ones((1, 1))}, "{}"))])
        costs.append(model.queue.cost)
    assert max(costs[:2]) < 1 and quick < 1
    assert costs[2] == 2  # three in a row do


@pytest.mark.parametrize("seconds", [1e-300, 1e308])
def test_any_time_may_be_named(seconds: float) -> None:
    model = Model(seconds=seconds)
    with model.standing():
        pass
    assert len(model.sent) == 32
