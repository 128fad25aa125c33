"""`tbgen verify`: the engine and each served graph beside PyTorch, as a table; exit 1 past a tolerance."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.options import (
    json_option,
    quiet_option,
    repository_option,
    server_options,
    text_options,
)
from tbgen.cli.request import SOURCE, request_options, source_options
from tbgen.cli.show import Tell, has_flag, keep, notes, output, print_json, say, status_line
from tbgen.cli.suggested import with_words, words_of_fields

if TYPE_CHECKING:
    from rich.table import Table

    from tbgen.generator.texts import TextFile
    from tbgen.server.client.address import Address
    from tbgen.server.verify.verify import Reference, Scaffold, Verification


@click.command()
@click.argument("name")
@repository_option()
@source_options
@request_options("task")
@text_options("held-out sentences of the bundled corpus; odd ones are always added")
@server_options("It must serve the repository. Default: one is started here.", optional=True)
@json_option
@quiet_option
def verify(
    name: str,
    repository: Path,
    task: str | None,
    text: TextFile | None,
    url: str | None,
    headers: dict[str, str],
    **source: Any,
) -> None:
    """All three are asked the same texts. --source is the checkpoint that the models were made from, by default the
    preset NAME. Models that were made of a ready ONNX file are held against that file, or against the checkpoint that
    is named.

    fp32 is held to 1e-4 in every number and to equal decisions; fp16 and int8 to their precision's bounds. Each text is
    also asked beside a long one: padding must not move its answer. A plan is run itself too, where there is its GPU.
    """
    from tbgen.server.client.address import address_from_url

    address = address_from_url(url, headers=headers) if url is not None else None
    found: list[Verification] = []
    advise: list[Callable[[], str]] = []
    try:
        with status_line(notes()) as tell:
            for row in _compare(name, repository, source, task, text, address, tell, advise):
                found.append(row)
                keep("what was compared before is in the table")
    finally:  # a graph that cannot be served here takes nothing from what was found of the file
        if found:
            _print_comparisons(found)
    for ask in advise:  # the verdict is out: this takes minutes
        with status_line(notes()) as tell:
            tell("Looking for the layers to keep in FP32")
            said = ask()
        if said:
            notes().print(said)
    if not all(row.holds for row in found):
        raise click.exceptions.Exit(1)


def _print_comparisons(found: list[Verification]) -> None:
    """A table, and what answers it is about."""
    from tbgen.export.parity.agreement import agreement_text

    if has_flag("json"):
        print_json([{**asdict(row), "holds": row.holds} for row in found])
        return
    output().print(_table_of(found))
    for row in found:
        if row.parity.answers:
            say(f"{row.road}: {agreement_text(row.parity.answers)}")


def _compare(
    name: str,
    repository: Path,
    source: dict[str, Any],
    task: str | None,
    file: TextFile | None,
    address: Address | None,
    tell: Tell,
    advise: list[Callable[[], str]],
) -> Iterator[Verification]:
    """The comparisons, as they come; where an engine file does not hold, `advise` gets what finds the reason."""
    from tbgen.export.parity.sentences import gate_texts
    from tbgen.generator.corpus import verification_texts
    from tbgen.server.verify.verify import CannotRun, engine_advice, reference_of, scaffold_named, verify_engine

    models = scaffold_named(name, repository)
    own = file.full_texts() if file else verification_texts()
    asked = gate_texts(own, models.special_tokens, models.exported.max_length)
    tell("Loading the checkpoint")
    reference = reference_of(models, source, task)
    if reference.note:
        notes().print(reference.note, style="yellow")
    tell("Comparing the engine file")
    try:
        compared = verify_engine(models, asked, reference)
        if not compared.holds:
            words = _as_export(models, reference, source, task)
            advise.append(lambda: with_words(engine_advice(models, asked, reference), *words))
        yield compared
    except CannotRun as error:
        notes().print(error.message, style="yellow")
    yield from _compare_fronts(models, asked, address, reference, tell)


def _as_export(
    models: Scaffold, reference: Reference, source: dict[str, Any], task: str | None
) -> tuple[list[str], str]:
    """How the reference is exported by a command of its own, and the command that then serves it."""
    folder = f"{models.name}_export"
    made_of = reference.library and (reference.library.checkpoint.root or reference.library.checkpoint.folder)
    words = ["--source", str(source["source"] or made_of), "-o", folder, *words_of_fields(source, SOURCE[1:])]
    settings = ["--engine", str(models.settings["engine"]), "-r", str(models.repository), "--force"]
    then = shlex.join(["tbgen", "scaffold", models.name, "--source", folder, *settings])
    return [*words, *(["--task", task] if task else [])], f"; then: {then}"


def _compare_fronts(
    models: Scaffold, asked: list[str], address: Address | None, reference: Reference, tell: Tell
) -> Iterator[Verification]:
    """The comparisons of what is served, as they come."""
    from tbgen.generator.local.models import LocalModels
    from tbgen.server.bench.gpu import Gpus
    from tbgen.server.client.connection import Connection
    from tbgen.server.verify.verify import verify_front

    with contextlib.ExitStack() as stack:
        if address is None and not models.stood_for:
            tell("Starting Triton")
        server = _server_of(models, address, stack)
        connection: Any = stack.enter_context(Connection(server) if server else LocalModels(models.repository))
        for front in models.fronts:
            gpus = Gpus(server)

            def said(front: str, done: int, of: int, gpus: Gpus = gpus) -> None:
                tell(f"Comparing {front}: {done} of {of} texts", done / of)
                gpus.look()

            yield replace(verify_front(models, front, asked, connection, reference, said), gpu=gpus.use())


def _server_of(models: Scaffold, address: Address | None, stack: contextlib.ExitStack) -> Address | None:
    """The server there, or one that is started; None for models whose files no server here could load."""
    from tbgen.generator.local.twin import STANDS_FOR_FILE

    if address is None and models.stood_for:
        notes().print(f"Nothing is served, the graphs are run without Triton: {STANDS_FOR_FILE}", style="yellow")
        return None
    return address or stack.enter_context(_served(models.repository))


@contextlib.contextmanager
def _served(repository: Path) -> Iterator[Address]:
    """The embedded Triton on free ports; its address."""
    from tbgen.server.client.address import Address
    from tbgen.server.embedded.server import server_on_free_ports

    with server_on_free_ports(repository) as server:
        yield Address(server.grpc_url, "grpc")


def _table_of(rows: list[Verification]) -> Table:
    """One row a road."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from tbgen.server.bench.gpu import gpu_text

    bounds = dict.fromkeys(f"{row.parity.bound(row.tolerance):g}" for row in rows)  # of logits, of answers
    bound = f"bound {', '.join(bounds)}; equal decisions at least {rows[0].least_agreement:g}"
    table = Table(box=box.SIMPLE, caption=f"{rows[0].parity.texts} texts; {bound}", caption_justify="left")
    on_gpu = any(row.gpu for row in rows)
    for heading in ("road", "max abs", "mean abs", "padding", "equal", *(["GPU"] if on_gpu else []), ""):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        found: Any = row.parity
        figures = [f"{number:.1e}" for number in (found.max_abs, found.mean_abs, found.padding_abs)]
        mark = Text("holds") if row.holds else Text("drifts", style="red")
        equal = f"{found.decisions - found.flips}/{found.decisions}" if found.decisions else "-"
        table.add_row(row.road, *figures, equal, *([gpu_text(row.gpu)] if on_gpu else []), mark)
    return table
