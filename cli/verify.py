"""`tbgen verify`: the engine and each served graph beside PyTorch, as a table; exit 1 past a tolerance."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.repository import ModelRepository
from tbgen.cli.request import source_options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tbgen.server.verify.verify import Comparison


@click.command(short_help="Hold the engine and the served graphs against PyTorch.")
@click.argument("name")
@click.option(
    "-r",
    "--repository",
    type=ModelRepository(file_okay=False),
    default="model_repository",
    show_default=True,
    help="Model repository that scaffold wrote.",
)
@source_options
@click.option("--task", help="What the checkpoint does, where its config does not say so.")
@click.option(
    "--text",
    "texts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of texts, one a line. Default: held-out sentences of the bundled corpus. Odd ones are always added.",
)
@click.option("--url", help="host:port (gRPC) of a Triton that serves the repository. Default: one is started here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(
    name: str, repository: Path, task: str | None, texts: Path | None, url: str | None, as_json: bool, **source: Any
) -> None:
    """Ask PyTorch, the engine file and the served graphs of NAME the same texts, and compare.

    --source is the checkpoint that the models were made from, by default the preset NAME. Models that were made of a
    ready ONNX file are held against that file, or against the checkpoint that is named.

    fp32 is held to 1e-4 in every number and to equal decisions; fp16 and int8 to their precision's bounds. Each text is
    also asked beside a long one: padding must not move its answer. A plan is run itself too, where there is its GPU.
    """
    from rich.console import Console

    progress = Console(stderr=True, soft_wrap=True, highlight=False)
    found: list[Comparison] = []
    advise: list[Callable[[], str]] = []
    try:
        for row in compare(name, repository, source, task, texts, url, progress, advise):
            found.append(row)
    finally:  # a graph that cannot be served here takes nothing from what was found of the file
        if found:
            show(found, as_json=as_json)
    for ask in advise:  # the verdict is out: this takes minutes
        with progress.status("Looking for the layers to keep in FP32"):
            said = ask()
        if said:
            progress.print(said)
    if not all(row.holds for row in found):
        raise click.exceptions.Exit(1)


def show(found: list[Comparison], *, as_json: bool) -> None:
    """Print what was found."""
    from rich.console import Console

    from tbgen.export.parity.agreement import in_words

    if as_json:
        click.echo(json.dumps([{**asdict(row), "holds": row.holds} for row in found], ensure_ascii=False, indent=2))
        return
    Console().print(table_of(found))
    for row in found:
        if row.parity.answers:
            click.echo(f"{row.road}: {in_words(row.parity.answers)}")


def compare(
    name: str,
    repository: Path,
    source: dict[str, Any],
    task: str | None,
    texts: Path | None,
    url: str | None,
    progress: Console,
    advise: list[Callable[[], str]],
) -> Iterator[Comparison]:
    """The comparisons, as they come; where an engine file does not hold, `advise` gets what finds the reason."""
    from tbgen.export.parity.sentences import gate_texts, texts_from_file
    from tbgen.generator.corpus import verification_texts
    from tbgen.server.client.connection import Connection
    from tbgen.server.verify.verify import (
        CannotRun,
        engine_advice,
        reference_of,
        scaffold_named,
        verify_engine,
        verify_front,
    )

    models = scaffold_named(name, repository)
    own = texts_from_file(texts) if texts else verification_texts()
    asked = gate_texts(own, models.special_tokens, models.exported.max_length)
    with progress.status("Loading the checkpoint") as status:
        reference = reference_of(models, source, task)
        if reference.note:
            progress.print(reference.note, style="yellow")
        status.update("Comparing the engine file")
        try:
            file = verify_engine(models, asked, reference)
            if not file.holds:
                advise.append(lambda: engine_advice(models, asked, reference))
            yield file
        except CannotRun as error:
            progress.print(error.message, style="yellow")
        status.update("Starting Triton")
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(Connection(url or stack.enter_context(served(repository))))
            for front in models.fronts:
                tell = lambda front, done, of: status.update(f"Comparing {front}: {done} of {of} texts")  # noqa: E731
                yield verify_front(models, front, asked, connection, reference, tell)


@contextlib.contextmanager
def served(repository: Path) -> Iterator[str]:
    """The embedded Triton on free ports; its gRPC address."""
    from tbgen.server.embedded.server import server_on_free_ports

    with server_on_free_ports(repository) as server:
        yield server.grpc_url


def table_of(rows: list[Comparison]) -> Table:
    """One row a road."""
    from rich import box
    from rich.table import Table

    bound = f"bound {rows[0].tolerance:g}; equal decisions at least {rows[0].least_agreement:g}"
    table = Table(box=box.SIMPLE, caption=f"{rows[0].parity.texts} texts; {bound}", caption_justify="left")
    for heading in ("road", "max abs", "mean abs", "padding", "equal", ""):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        found: Any = row.parity
        figures = [f"{number:.1e}" for number in (found.max_abs, found.mean_abs, found.padding_abs)]
        mark = "holds" if row.holds else "[red]drifts[/red]"
        equal = f"{found.decisions - found.flips}/{found.decisions}" if found.decisions else "-"
        table.add_row(row.road, *figures, equal, mark)
    return table
