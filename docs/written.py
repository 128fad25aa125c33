"""What the site writes by itself, as an extension of Python-Markdown: `::: commands` is the reference of commands."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Callable, Iterator

import click
from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from tbgen.cli.main import main


def commands() -> str:
    """Every command with its help, arguments and options, as its --help tells them."""
    return "\n\n".join(_sections(main, click.Context(main, info_name="tbgen")))


def _sections(command: click.Command, context: click.Context, level: int = 2) -> Iterator[str]:
    usage = command.collect_usage_pieces(context)
    yield f"{'#' * level} {context.command_path}"
    yield html.escape(inspect.cleandoc(command.help or ""), quote=False)
    yield f"```text\n{context.command_path} {' '.join(usage)}\n```"
    yield _options(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child
            yield from _sections(child, click.Context(child, info_name=name, parent=context), level + 1)


def _options(command: click.Command, context: click.Context) -> str:
    """A table of the options, --help apart, which all have."""
    records = [each.get_help_record(context) for each in command.params if isinstance(each, click.Option)]
    rows = [f"| `{names}` | {_plain(says)} |" for names, says in filter(None, records)]
    return "\n".join(["| option | what it does |", "|---|---|", *rows]) if rows else ""


def _plain(text: str) -> str:
    """Text whose signs are no Markdown table's, and no HTML's."""
    return html.escape(text, quote=False).replace("|", r"\|")


WRITTEN: dict[str, Callable[[], str]] = {"commands": commands}


class _Written(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        asked = [re.fullmatch(r"::: (\w+)", line) for line in lines]
        texts = [
            WRITTEN[match[1]]() if match and match[1] in WRITTEN else line
            for match, line in zip(asked, lines, strict=True)
        ]
        return "\n".join(texts).split("\n")


class _WrittenExtension(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Written(md), "written", priority=100)  # before fences are read


def makeExtension(**settings: object) -> Extension:
    """What Python-Markdown asks a module that it is told of."""
    return _WrittenExtension(**settings)
