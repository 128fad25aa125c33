"""Who waits for an answer: how long, and whether still."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any


class GoneError(Exception):
    """Nobody waits for this answer any more. Its arguments: what happened, and the name of Triton's status code."""


class Client:
    """Who sent a request. It is gone when it cancelled (gRPC tells), or its timeout, counted from now, is over."""

    PAUSE = 0.01  # seconds between two questions to Triton: each costs some 15 microseconds

    def __init__(self, request: Any) -> None:
        self.request = request
        self.trace = request.trace  # of the request, for calls that belong to it
        self.asked = time.monotonic()
        allowed = request.timeout()  # microseconds, 0: no limit
        self.until = self.asked + allowed / 1e6 if allowed else float("inf")
        self.left: GoneError | None = None

    def gone(self) -> GoneError | None:
        """Why nobody waits any more; None while somebody does."""
        now = time.monotonic()
        if self.left is None and now > self.until:
            self.left = GoneError("Request timeout expired", "UNAVAILABLE")
        elif self.left is None and now > self.asked + self.PAUSE:
            self.asked = now
            if self.request.is_cancelled():
                self.left = GoneError("Request cancelled", "CANCELLED")
        return self.left

    def timeout(self) -> int:
        """Microseconds for which the client still waits, at least 1; 0: without a limit."""
        return max(1, int((self.until - time.monotonic()) * 1e6)) if self.until < float("inf") else 0


def clients_of_rows(clients: Sequence[Client], tensors: Mapping[str, Any]) -> Sequence[Client]:
    """Who waits for each row: the client of the item that it belongs to, or of the text whose window it is."""
    for owner in ("row_item", "window_text"):
        if owner in tensors:
            clients = [clients[index] for index in tensors[owner][:, 0]]
    return clients
