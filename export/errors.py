"""The errors a user can mend: one sentence, exit code 1, no traceback."""

from __future__ import annotations

import importlib
from types import ModuleType

import click


class UserError(click.ClickException):
    """What is wrong, what there is, what to do: one sentence a person can act on."""


class MissingExtra(UserError):
    """A package that an optional part needs is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; it comes with: pip install 'tbgen[{extra}]'")


class NoSuchName(UserError):
    """A name that is not in a table; the message lists the table."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        super().__init__(f"no {kind} {name!r}. {_plural(kind).capitalize()}: {', '.join(sorted(known)) or 'none'}")


def _plural(kind: str) -> str:
    """The plural of a noun of this project's messages."""
    return f"{kind[:-1]}ies" if kind.endswith("y") and kind[-2] not in "aeiou" else f"{kind}s"


def require(package: str, *, extra: str) -> ModuleType:
    """Import `package`, or say which extra brings it. Raises MissingExtra."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or package, extra) from error
