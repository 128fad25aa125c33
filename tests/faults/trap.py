"""A step that raises what a text says, and panics as a library in Rust does: what no step may do to its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class Panic(BaseException):
    """As pyo3's PanicException, which is no Exception."""


def recursion() -> None:
    recursion()


def memory() -> None:
    np.empty(2**46, np.uint8)


def key() -> None:
    {}["nothing"]


def overflow() -> None:
    np.array([2**70]).astype(np.uint8)[2**70]


def unicode() -> None:
    "\ud800".encode()


def panic() -> None:
    raise Panic("called `Option::unwrap()` on a `None` value")


def leave() -> None:
    raise SystemExit(3)


TRAPS = {each.__name__: each for each in (recursion, memory, key, overflow, unicode, panic, leave)}


class Trap:
    """Gives each text on; a text that is a trap's name springs it."""

    inputs = outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder: Path) -> None:
        pass

    def __call__(self, input_text: np.ndarray) -> dict[str, np.ndarray]:
        for text in input_text[:, 0]:
            if text in TRAPS:
                TRAPS[text]()
        return {"input_text": input_text}
