"""Ctrl-C and its like: the first raises KeyboardInterrupt; what comes while it is cleaned up after changes nothing."""

from __future__ import annotations

import atexit
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Unlike Python's own, one can be asked whether it is still on its way: it is gone once it was handled, or lost."""


class PartialResult(KeyboardInterrupt):
    """An interrupt that brings along what was found before it, in the form of a whole result that says it is none."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found


@contextmanager
def partial_result(found: Callable[[], Any]) -> Iterator[None]:
    """Let an interrupt in the block bring along what `found` gives then, if that is not None. Raises PartialResult."""
    try:
        yield
    except KeyboardInterrupt as error:
        if (part := found()) is None:
            raise
        raise PartialResult(part) from error


# Ctrl-C, the end that an operator or a supervisor asks for, a closed terminal -> what Python does on them by itself.
_USUAL: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
INTERRUPTS = tuple(_USUAL)

_underway: list[weakref.ref[Interrupted]] = []  # the last one that was raised


def interrupt_once(*signals: int) -> list[int]:
    """Let each of these signals interrupt once, from here on; those of which it is so.

    Left alone are all in a thread, and one that a program handles itself or that its parent lets it ignore (nohup).
    """
    main = threading.current_thread() is threading.main_thread()
    ours = [each for each in signals if main and signal.getsignal(each) == _USUAL[each]]
    for each in ours:
        signal.signal(each, _interrupt)
    return ours


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Let Ctrl-C interrupt once, in the block."""
    ours = interrupt_once(signal.SIGINT)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, _USUAL[each])


def _interrupt(*_: Any) -> None:
    """Raise, unless what was raised before is on its way. One that got lost, as in an import, does not count."""
    if any(each() is not None for each in _underway):
        return
    if not _underway:  # while Python ends, after the clean-up, an exception would end it otherwise, if not crash it
        for each in (each for each in _USUAL if signal.getsignal(each) == _interrupt):
            atexit.register(signal.signal, each, signal.SIG_IGN)
    raise _new()


def _new() -> Interrupted:
    """One that no frame refers to, so that it goes when it is handled."""
    new = Interrupted()
    _underway[:] = [weakref.ref(new)]
    return new
