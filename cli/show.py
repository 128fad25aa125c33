"""All that the commands print: answers on standard output, notes and progress on standard error."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.export.interrupt import PartialResult

if TYPE_CHECKING:  # each is imported where it draws, so that --help of a command need not wait for it
    from rich.console import Console
    from rich.table import Table
    from rich.tree import Tree

PATIENCE = 5.0  # seconds
# What an interrupt leaves.
NOTHING_MEASURED = "nothing was measured as yet"
MEASURED_BEFORE = "what was measured before is in the report"
WHOLE = "nothing half-written was left"
_CELLS = 5  # values of a list that a table shows
_LINES = 10  # objects of a list
_DIFFERENCE = {"+": "green", "-": "red", "@": "cyan"}  # colours by the first letter of a line

# What a terminal obeys, or nobody sees: controls but the end of a line and the tabulator, marks of direction.
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Tell = Callable[..., None]  # what runs now, and the share of everything that is done, None where nobody knows


def has_flag(flag: str) -> bool:
    """Whether the command that runs was given --json or --quiet."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(f"tbgen.{flag}"))


def visible(text: str) -> str:
    """A text as it is printed: what names and labels from outside could tell a terminal is seen, not done."""
    return _HIDDEN.sub(lambda found: repr(found[0])[1:-1], text)


@functools.cache
def _console_class() -> type[Console]:
    """A console that shows all text as `visible` gives it; its own colours and bars are no text."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class VisibleConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for each in super().render(renderable, options):
                yield each if each.control else Segment(visible(each.text), each.style)

    return VisibleConsole


def output(*, soft_wrap: bool = False) -> Console:
    """Where answers go."""
    return _console_class()(soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)  # names are data


def notes() -> Console:
    """Where a person is told what is no answer."""
    return _console_class()(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


def say(text: str, *, note: bool = False) -> None:
    """Print a line; with `note` on standard error."""
    click.echo(visible(text), err=note)


def print_json(value: Any) -> None:
    """One JSON value, for programs; paths as text."""
    click.echo(_json_text(value, indent=2))


def _json_text(value: Any, indent: int | None = None) -> str:
    """JSON in which no text says anything to a terminal; whoever reads it gets the same value."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def report(value: Any, draw: Callable[[], object]) -> None:
    """A value for programs with --json; else what people see of it."""
    if has_flag("json"):
        print_json(value)
    else:
        draw()


def print_file(text: str) -> None:
    """What stands in a file else, as it is: whatever is done to what people read would change it."""
    click.echo(text.rstrip("\n"))


def print_answers(rows: Iterable[tuple[dict[str, Any], dict[str, Any]]], *, every: bool = False) -> None:
    """Items with their answers as one table; with --json as objects, each on a line as soon as it is there.

    every: a table shows all labels, not the best one alone.
    """
    if has_flag("json"):
        for item, answer in rows:
            click.echo(_json_text({**item, **answer}))
    elif found := list(rows):
        output().print(table_of_answers(found, every=every))


def table_of_answers(rows: Sequence[tuple[dict[str, Any], dict[str, Any]]], *, every: bool = False) -> Table:
    """What was asked, and each answer's single values and objects, a column each; lists where there is nothing else."""
    from rich.table import Table
    from rich.text import Text

    from tbgen.server.client.typed import OBJECTS

    item, answer = rows[0]
    kept = OBJECTS - ({"labels"} if not every and {"label", "softmax"} <= answer.keys() else set())
    names = [name for name, value in answer.items() if not isinstance(value, list) or name in kept] or list(answer)
    asked = [name for name, value in item.items() if not isinstance(value, list)] or list(item)
    table = Table(*asked, *names)
    for item, answer in rows:
        table.add_row(
            *(Text(cell_text(item[name])) for name in asked), *(Text(cell_text(answer[name])) for name in names)
        )
    return table


def cell_text(value: Any) -> str:
    """A value as a table shows it: numbers with four digits, the first values of a long list, objects a line each."""
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        lines = [_line_of(each) for each in value]
        return "\n".join([*lines[:_LINES], *(["…"] if len(lines) > _LINES else [])])
    if isinstance(value, list):
        return ", ".join([*map(cell_text, value[:_CELLS]), *(["…"] if len(value) > _CELLS else [])])
    return f"{value:.4f}" if isinstance(value, float) else visible(str(value))


def _line_of(value: Any) -> str:
    """An object's text, label and score, and where it stands; of what fills a mask the tokens; of numbers the first."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return ", ".join(f"{each['token']} {cell_text(each['score'])}" for each in value)
    if not isinstance(value, dict):
        return cell_text(value)
    shown = [cell_text(each) or '""' for name, each in value.items() if name not in ("id", "index", "start", "end")]
    return " ".join([*shown, *([f"[{value['start']}:{value['end']}]"] if "start" in value else [])])


def print_named(rows: Iterable[tuple[str, Any]]) -> None:
    """A line for each name and its value."""
    for name, value in rows:
        output().print(f"{name:<17}{value}", soft_wrap=True)


def say_answered(models: Sequence[str]) -> None:
    """Which models answered when they were asked after a start."""
    say(f"Asked in Korean with emoji, and answered: {', '.join(models) or 'none'}")


def print_difference(lines: Iterable[str]) -> None:
    """The lines of a diff, in its colours."""
    from rich.text import Text

    for line in lines:
        output().print(Text(line, style=_DIFFERENCE.get(line[:1], "")), soft_wrap=True)


@contextmanager
def status_line(console: Console) -> Iterator[Tell]:
    """A bar with what runs now; on a pipe, a line for each new thing (what stands before a colon); --quiet: nothing."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    seen: set[str] = set()

    def print_new(text: str, share: float | None = None) -> None:
        subject = text.partition(": ")[0]
        if subject not in seen:
            seen.add(subject)
            console.print(subject if share is None else f"{share:4.0%} {subject}")

    if has_flag("quiet") or not console.is_terminal:
        yield (lambda *_: None) if has_flag("quiet") else print_new
        return
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bars:
        bar = bars.add_task("Starting", total=None)
        yield lambda text, share=None: bars.update(
            bar, description=text, total=None if share is None else 1.0, completed=share
        )


@contextmanager
def said_late(text: str) -> Iterator[None]:
    """Say on standard error what runs, where the block takes longer than PATIENCE; with --quiet never."""
    timer = threading.Timer(PATIENCE, say, (text,), {"note": True})
    timer.daemon = True
    if not has_flag("quiet"):
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def keep(words: str) -> None:
    """What an interrupt from here on says of what there is then."""
    click.get_current_context().meta["tbgen.kept"] = words


def whole_or_part(find: Callable[[], Any], kept: str) -> tuple[Any, Callable[[], None]]:
    """What `find` finds, or found before an interrupt; and what ends the command so, once that is printed: `kept`."""
    try:
        return find(), lambda: None
    except PartialResult as interrupt:
        part = interrupt

    def end() -> None:
        keep(kept)
        raise part

    return part.found, end


def repository_tree(repository: Path, names: Sequence[str]) -> Tree:
    """The files of the named model folders, with their sizes."""
    from rich.tree import Tree

    tree = Tree(f"{repository}/")
    for name in names:
        _grow(tree.add(f"{on_one_line(name)}/"), repository / name)
    return tree


def on_one_line(name: str) -> str:
    """A file's name, which may hold ends of lines."""
    return name.replace("\n", "\\n")


def _grow(branch: Tree, folder: Path) -> None:
    """Add a folder's entries to its branch, files before folders."""
    from rich.filesize import decimal
    from rich.text import Text

    from tbgen.generator.repository import VENDOR

    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if entry.name == VENDOR:
            size = sum(file.stat().st_size for file in entry.rglob("*"))
            branch.add(Text.assemble(f"{entry.name}/ ", (decimal(size), "dim")))
        elif entry.is_dir():
            _grow(branch.add(f"{on_one_line(entry.name)}/"), entry)
        else:
            branch.add(Text.assemble(f"{on_one_line(entry.name)} ", (decimal(entry.stat().st_size), "dim")))
