"""Who waits for an answer: how long, and whether still."""

import time
from collections.abc import Callable
from typing import Any

LEAST, MOST = 32, 1024  # items that may wait in any case, and at most
LATE = "more is asked than it answers, the wait may be over {:g} s: ask again later"


class GoneError(Exception):
    """Nobody waits for this answer any more. Its arguments: what happened, and the name of Triton's status code."""


class Client:
    """Who sent a request. It is gone when it cancelled (gRPC tells), or its timeout, counted from now, is over."""

    def __init__(self, request: Any, read: Callable[[Any], tuple[dict[str, Any], str]]) -> None:
        self.request = request
        self.sender: Any = None  # of its answer, once Triton has taken the request back
        self.trace = request.trace  # of the request, for calls that belong to it
        self.wanted = request.requested_output_names()
        self.asked = time.monotonic()
        allowed = request.timeout()  # microseconds, 0: no limit
        self.until = self.asked + allowed / 1e6 if allowed else float("inf")
        self.late = "Request timeout expired"
        self.left: BaseException | None = None  # why it has no answer
        self.items = 1
        self.answer: Any = None  # its output tensors
        try:
            self.tensors, self.parameters = read(request)
            self.items = len(next(iter(self.tensors.values())))
        except Exception as error:  # noqa: BLE001 - whatever a request carries must not fail the neighbours
            self.left = error

    def gone(self) -> BaseException | None:
        """Why nobody waits any more; None while somebody does."""
        now = time.monotonic()
        if self.left is None and now > self.until:
            self.left = GoneError(self.late, "UNAVAILABLE")
        elif self.left is None and now > self.asked + 0.01:  # seconds: a question to Triton costs some 15 microseconds
            self.asked = now
            if self.request.is_cancelled():
                self.left = GoneError("Request cancelled", "CANCELLED")
        return self.left

    def timeout(self) -> int:
        """Microseconds for which the client still waits, at least 1; 0: without a limit."""
        return max(1, int((self.until - time.monotonic()) * 1e6)) if self.until < float("inf") else 0
