"""The errors a user can mend: one sentence, exit code 1, no traceback."""

from __future__ import annotations

import importlib
import re
from difflib import SequenceMatcher
from pathlib import Path
from types import ModuleType

import click

_ALIKE = 0.8  # of 1, for a name that may have been meant
_LONGEST_WORD, _LONGEST = 300, 4000  # characters
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")


class UserError(click.ClickException):
    """What is wrong, what there is, what to do: one sentence a person can act on, whatever it quotes."""

    def __init__(self, message: str) -> None:
        super().__init__(_cut(_LONG_WORD.sub(lambda word: _cut(word[0], _LONGEST_WORD), message), _LONGEST))


def _cut(text: str, most: int) -> str:
    """The text without its middle where it is too long: it says at its end what to do."""
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 3 :]}"


class MissingExtra(UserError):
    """A package that an optional part needs is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; it comes with: pip install 'tbgen[{extra}]'")


class NoSuchName(UserError):
    """A name that is not in a table; the message lists the table, and names what may have been meant.

    place: the folder that was looked in, where there are several such.
    """

    def __init__(self, kind: str, name: str, known: list[str], place: Path | None = None) -> None:
        nearest = _nearest(name, known)
        where = f" in {str(place)!r}" if place else ""
        listed = f"no {kind} {name!r}{where}. {_plural(kind).capitalize()}: {', '.join(sorted(known)) or 'none'}"
        super().__init__(f"{listed}. Did you mean {nearest!r}?" if nearest else listed)


def _nearest(name: str, known: list[str]) -> str:
    """The one that is most like a name, or begins so; empty where none is much like it."""
    if len(name) > _LONGEST_WORD:  # a client's of millions of letters would be compared for minutes
        return ""
    alike = {
        each: max(SequenceMatcher(None, name, part).ratio() for part in (each, each[: len(name)])) for each in known
    }
    best = max(sorted(known), key=alike.__getitem__, default="")
    return best if best and alike[best] >= _ALIKE else ""


def _plural(kind: str) -> str:
    """The plural of a noun of this project's messages."""
    return f"{kind[:-1]}ies" if kind.endswith("y") and kind[-2] not in "aeiou" else f"{kind}s"


def require(package: str, *, extra: str) -> ModuleType:
    """Import `package`, or say which extra brings it. Raises MissingExtra."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or package, extra) from error
