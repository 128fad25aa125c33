"""Whether a test file that is to run a block of a page knows the block's commands."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click

from tbgen.cli.main import main
from tests.docs.pages import Block, programs

_SET_UP = {"pip", "git", "cd"}  # what is there where tests run
_PICKED = re.compile(r"tbgen .|(curl|python|cp|for|mkdir)( .|$)")


def unknown_commands(block: Block, file: Path) -> list[str]:
    """The commands of a block of which nothing stands in the file that is to run them.

    A file that reads the page runs all, or picks them by how they begin; in any other stand their telling words.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    texts = _texts(tree)
    if not any(block.page.name in text for text in texts):
        words = _names(tree).union(*(re.split(r"[^\w.-]+", text) for text in texts))
        return [line for line in block.commands() if not all(map(words.issuperset, _telling_words(line)))]
    picked = [text for text in texts if _PICKED.match(text)]
    picks = any(" " in text for text in picked)
    return [line for line in block.commands() if picks and not line.startswith((*picked, *_SET_UP))]


def _texts(tree: ast.Module) -> list[str]:
    """The texts of a file, but for docstrings."""
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in docstrings)
    return [node.value for node in constants if isinstance(node.value, str)]


def _names(tree: ast.Module) -> set[str]:
    """The names in a file, and what it imports."""
    nodes = list(ast.walk(tree))
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return imported | {name for node in nodes for name in (getattr(node, "id", ""), getattr(node, "attr", ""))}


def _telling_words(line: str) -> list[set[str]]:
    """What a test that runs the line's programs cannot leave out: of tbgen its command, else script, path or name."""
    return [_words(*each) for each in programs(line) if each[0] not in _SET_UP]


def _words(program: str, *arguments: str) -> set[str]:
    if program == "tbgen":
        return _command_words(arguments)
    if program == "curl":
        _, first, *others = next(word for word in arguments if "localhost" in word).split("/")
        return {others[-1] if first == "v2" else first}
    return {Path(arguments[0] if program == "python" else program).name}


def _command_words(arguments: tuple[str, ...]) -> set[str]:
    """The names of a command of tbgen: {"deploy", "haproxy"}."""
    words: set[str] = set()
    command: click.Command | None = main
    for argument in arguments:
        if not isinstance(command, click.Group):
            break
        words.add(argument)
        command = command.get_command(click.Context(command), argument)
    return words
