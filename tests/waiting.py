"""Waiting for a state, as long as it takes: what is waited for must come, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

FOREVER = 300  # seconds after which something hangs


def wait_until(what: Callable[[], bool]) -> None:
    """Return once `what` is so; fail where it never comes."""
    end = time.monotonic() + FOREVER
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
