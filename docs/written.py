"""What the site writes by itself, by an extension of Python-Markdown.

`::: commands` is the reference of commands; `::: bench STORY` is what the last `make bench` found.
"""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Iterator

import click
from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from benchmarks.record import RESULTS, page_of, records_in
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


def bench(story: str) -> str:
    """The figures of a story of `make bench`."""
    record = records_in(RESULTS).get(story)
    return page_of(record) if record else "No figures are kept of it yet."


WRITTEN: dict[str, Callable[..., str]] = {"commands": commands, "bench": bench}


class _Written(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        words = [line.split() for line in lines]
        texts = [
            WRITTEN[each[1]](*each[2:]) if each[:1] == [":::"] and each[1:] and each[1] in WRITTEN else line
            for each, line in zip(words, lines, strict=True)
        ]
        return "\n".join(texts).split("\n")


class _WrittenExtension(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Written(md), "written", priority=100)  # before fences are read


def makeExtension(**settings: object) -> Extension:
    """What Python-Markdown asks a module that it is told of."""
    return _WrittenExtension(**settings)
