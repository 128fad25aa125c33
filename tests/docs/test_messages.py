"""Each message that the troubleshooting page quotes is one that the code says; `...` stands for its values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTES = re.findall(r"^> (.*)$", PAGE, re.MULTILINE)
FOLDERS = ("backends", "cli", "export", "generator", "server")
VALUE = "\0"


def text_of(node: ast.expr) -> str:
    """A text of the code as it is built, each value in it one sign."""
    match node:
        case ast.Constant(value=str(text)):
            return text.replace("{:g}", VALUE)
        case ast.JoinedStr(values=parts):
            return "".join(map(text_of, parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text_of(left) + text_of(right)
        case ast.IfExp(body=body):
            return text_of(body)
    return VALUE


@cache
def messages() -> frozenset[str]:
    """The longer ones that the code has."""
    return frozenset(message for message in _texts() if len(message) > 20)


def _texts() -> Iterator[str]:
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                    yield text_of(node)


def says(message: str, quote: str) -> bool:
    """Whether a message could read as the quote does, which may leave out its end, and is not mostly made of values."""
    fixed = [re.sub(r"\s+", " ", part) for part in message.split(VALUE)]
    ends = range(1, len(fixed)) if quote.endswith("...") else ()
    readings = [fixed, *([*fixed[:end], ""] for end in ends)]
    return any(
        2 * sum(map(len, parts)) > len(quote)
        and max(parts, key=len) in quote  # asked first, as it is quick
        and re.fullmatch(".*".join(map(re.escape, parts)), quote)
        for parts in readings
    )


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_one_that_the_code_says(quote: str) -> None:
    assert any(says(message, quote) for message in messages()), "no file of the code says so"


def test_what_nobody_says_is_found() -> None:
    assert 15 <= len(QUOTES) == len(set(QUOTES))
    assert not any(says(message, "config.json names no architecture, name one") for message in messages())
