"""Requests that wait their turn where they are counted: one that would wait too long is refused at once.

Triton's dynamic batcher lets requests wait without end, and with a limit of its own oversleeps (docs/reliability.md).
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .clients import GoneError

pb_utils: Any = sys.modules.get("triton_python_backend_utils")  # as model.py has it; outside Triton there is none
_LEAST, _MOST = 32, 1024  # items that may wait in any case, and at most
_FULL = 32  # items that, handed over at once, say that more may wait behind them
# Seconds of a look at what waits, and between two: each answer from the queue costs a message.
_LOOK, _PAUSE = 0.1, 1.0


class HeldRequest:
    """What is needed of a request that Triton takes back; it is answered through its sender."""

    def __init__(self, request: Any) -> None:
        self.sender = request.get_response_sender()
        tensors = [_Copy(tensor) for tensor in request.inputs()]
        names, text = request.requested_output_names(), request.parameters()
        self.inputs, self.requested_output_names, self.parameters = lambda: tensors, lambda: names, lambda: text
        self.items, self.is_cancelled = _items(request), self.sender.is_cancelled
        self.trace = lambda: None  # it goes back with the request
        self.allowed, self.since = request.timeout(), time.monotonic()

    def timeout(self) -> int:
        """Microseconds for which its client still waits, at least 1; 0: without a limit."""
        return max(1, self.allowed - int((time.monotonic() - self.since) * 1e6)) if self.allowed else 0

    def answer(self, response: Any) -> None:
        """Send its one response."""
        try:
            self.sender.send(response, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        except Exception as error:  # noqa: BLE001 - the others are still to be answered
            pb_utils.Logger.log_error(f"an answer could not be sent: {error}")


class RequestQueue:
    """Runs what a model is handed: at once, or, when much comes, in a thread, so that what waits is seen.

    Args:
        run: one response for each request.
        refusal: the response to a request that is refused.
        seconds: how long requests may have to wait, by what the items before them take; `_LEAST` items may in any case.
        items: as many as Triton hands over at once when enough wait.
    """

    def __init__(self, run: Callable[..., list[Any]], refusal: Callable[..., Any], seconds: float, items: int) -> None:
        self.run, self.refusal, self.seconds, self.items = run, refusal, seconds, items
        self.waiting: deque[HeldRequest] = deque()
        self.ahead = 0  # items that wait, or that the thread is at
        self.cost = 1e-3  # seconds of an item, a running mean
        self.look = 0.0  # when to see again whether more waits
        self.began = 0.0  # when it was seen that some does, or must not
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def responses(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request; None for one that is answered later."""
        if self.ahead and time.monotonic() > self.began + _LOOK and self.ahead * self.cost < self.seconds / 4:
            with self.changed:  # little waits: it may do so in Triton
                self.changed.wait_for(lambda: not self.ahead)
        if not self.ahead and (time.monotonic() < self.look or sum(map(_items, requests)) < min(self.items, _FULL)):
            return self.timed(requests)
        try:
            requests[0].get_response_sender()
        except Exception:  # noqa: BLE001 - Triton before 24.06 has senders for decoupled models alone
            self.look = float("inf")
            return self.timed(requests)
        with self.changed:
            self.began = self.began if self.ahead else time.monotonic()
            responses = [self.put(request) for request in requests]
            self.changed.notify_all()
        return responses

    def put(self, request: Any) -> Any:
        """Let a request wait; or the response to it, when it is refused or cannot be read."""
        if self.waiting and self.ahead >= min(_MOST, max(_LEAST, self.seconds / self.cost)):
            self.began = time.monotonic()
            says = f"more is asked than it answers, the wait would be over {self.seconds:g} s: ask again later"
            return self.refusal(request, GoneError(says, "UNAVAILABLE"))
        try:
            held = HeldRequest(request)
        except Exception:  # noqa: BLE001 - whatever it carries: who reads it again says what is wrong
            return self.run([request])[0]
        self.waiting.append(held)
        self.ahead += held.items
        return None

    def work(self) -> None:
        """Run what waits, some items at a time, until the end."""
        while taken := self.taken():
            try:
                responses = self.timed(taken)
            except BaseException as error:  # noqa: BLE001 - the thread must go on, and nobody wait for ever
                responses = [self.refusal(held, error) for held in taken]
            for held, response in zip(taken, responses, strict=True):
                held.answer(response)
            with self.changed:
                self.ahead -= sum(held.items for held in taken)
                self.look = time.monotonic() + _PAUSE
                self.changed.notify_all()

    def taken(self) -> list[HeldRequest]:
        """The requests of the next run, once there are any; none at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.ended)
            taken, items = list[HeldRequest](), 0
            most = min(self.items, max(_FULL, int(self.seconds / 4 / self.cost)))  # the shorter a run, the less a wait
            while self.waiting and (not taken or items + self.waiting[0].items <= most):
                taken.append(self.waiting.popleft())
                items += taken[-1].items
        return taken

    def timed(self, requests: Sequence[Any]) -> list[Any]:
        """Their responses; what an item took is learned."""
        began = time.monotonic()
        responses = self.run(requests)
        took = (time.monotonic() - began) / sum(map(_items, requests))
        self.cost += (took - self.cost) / 4
        return responses

    def end(self) -> None:
        """Answer what waits, and stop."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        self.thread.join()


class _Copy:
    """An input that stays when Triton takes its own back."""

    def __init__(self, tensor: Any) -> None:
        array = np.array(tensor.as_numpy())
        self.name, self.as_numpy, self.shape = tensor.name, lambda: array, lambda: list(array.shape)


def _items(request: Any) -> int:
    """How many a request carries, at least 1."""
    shape = request.inputs()[0].shape()
    return max(1, int(shape[0])) if shape else 1
