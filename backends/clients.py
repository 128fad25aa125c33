"""Who waits for an answer: how long, and whether still."""

from __future__ import annotations

import time
from typing import Any


class GoneError(Exception):
    """Nobody waits for this answer any more; carries the name of Triton's status code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Client:
    """Who sent a request: whether the answer is still waited for, how long, and the request's trace.

    A client is gone when it cancelled (gRPC tells) or when the timeout that it sent, counted from now, is over.
    """

    PAUSE = 0.01  # seconds between two questions to Triton: each costs some 15 microseconds

    def __init__(self, request: Any) -> None:
        self.request = request
        self.asked = time.monotonic()
        allowed = request.timeout()  # microseconds, 0: no limit
        self.until = self.asked + allowed / 1e6 if allowed else None
        self.left: GoneError | None = None

    def gone(self) -> GoneError | None:
        """Why nobody waits any more; None while somebody does."""
        now = time.monotonic()
        if self.left is None and self.until is not None and now > self.until:
            self.left = GoneError("Request timeout expired", "UNAVAILABLE")
        elif self.left is None and now > self.asked + self.PAUSE:
            self.asked = now
            if self.request.is_cancelled():
                self.left = GoneError("Request cancelled", "CANCELLED")
        return self.left

    def timeout(self) -> int:
        """Microseconds for which the client still waits, at least 1; 0: without a limit."""
        return max(1, int((self.until - time.monotonic()) * 1e6)) if self.until is not None else 0

    def trace(self) -> Any:
        """The request's trace, for calls that belong to it."""
        return self.request.trace()
