"""Ctrl-C: the first raises KeyboardInterrupt, and those that come while it is cleaned up after change nothing."""

from __future__ import annotations

import atexit
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Unlike Python's own, one can be asked whether it is still on its way: it is gone once it was handled, or lost."""


_underway: list[weakref.ref[Interrupted]] = []  # the last one that was raised


def interrupt_once() -> bool:
    """Let Ctrl-C interrupt once, from here on; False where it is left alone: in a thread, or if it is not Python's."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    signal.signal(signal.SIGINT, _interrupt)
    return True


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Let Ctrl-C interrupt once, in the block."""
    mine = interrupt_once()
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(*_: Any) -> None:
    """Raise, unless what was raised before is on its way. One that got lost, as in an import, does not count."""
    if any(each() is not None for each in _underway):
        return
    if not _underway:  # while Python ends, after the clean-up, an exception would end it otherwise, if not crash it
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    raise _new()


def _new() -> Interrupted:
    """One that no frame refers to, so that it goes when it is handled."""
    new = Interrupted()
    _underway[:] = [weakref.ref(new)]
    return new
