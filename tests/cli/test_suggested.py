"""Every command that a sentence suggests can be run as it stands there, but for the words in capitals."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tbgen.cli.main import main

ROOT = Path(__file__).parents[2]
# Words that are joined, which test_precision.py runs; and a table of what is named, not suggested.
OTHERS = {"export/precision/drift.py", "cli/suggested.py", "server/doctor/packages.py"}
VALUE = "X"  # of a part of an f-string


def texts(file: Path) -> Iterator[str]:
    """The texts of a file's code, docstrings apart, each f-string whole."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner | documented:
            yield node.value


def suggested(text: str) -> Iterator[tuple[click.Command, list[str]]]:
    """The commands of a text that have words behind them, or stand behind a colon: others are but named."""
    for found in re.finditer(r"(with|then|next|it|anew)?(: )?`?tbgen ([^`\n;)]+)", text, re.IGNORECASE):
        command: click.Command = main
        words = found[3].replace("{}", VALUE).split()
        while words and isinstance(command, click.Group):
            known = command.get_command(click.Context(command), words.pop(0).rstrip(".,"))
            if known is None:
                break
            command = known
        arguments = [*arguments_of(words)]
        if not isinstance(command, click.Group) and (arguments or found[2]):
            yield command, arguments


def arguments_of(words: list[str]) -> Iterator[str]:
    """The first of the words, as far as they are options, their values, and words that stand for others."""
    for before, word in zip(["", *words], words, strict=False):
        if not (word.startswith("-") or before.startswith("-") or word[:1].isupper()):
            return
        yield word.rstrip(".,:")


@pytest.mark.parametrize("folder", ["backends", "cli", "export", "generator", "server"])
def test_a_suggested_command_can_be_run(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        if str(file.relative_to(ROOT)) in OTHERS:
            continue
        for text in texts(file):
            for command, words in suggested(text):
                try:
                    command.make_context(command.name, [*words])
                except click.exceptions.Exit:
                    pass
                except click.UsageError as error:
                    pytest.fail(f"{file}: {text!r}: {error.message}")


def test_a_command_that_lacks_a_word_is_found() -> None:
    ((command, words),) = suggested("write it anew: tbgen export tensorrt --source FILE.onnx")
    assert words == ["--source", "FILE.onnx"]
    with pytest.raises(click.MissingParameter):
        command.make_context("tensorrt", words)
    assert [*suggested("`tbgen serve` starts one, and tbgen serves encoders")] == []
