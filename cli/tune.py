"""`tbgen tune`: finds faster settings on one's own machine and texts, shows the difference, writes it if wanted."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tbgen.cli.bench import FILE, POSITIVE, SECONDS, Numbers, progress_bar
from tbgen.cli.repository import ModelRepository

if TYPE_CHECKING:
    from rich.console import Console

    from tbgen.server.tune.stages import Edits, EmbeddedStage, LiveStage
    from tbgen.server.tune.tune import Tuned


@click.command(short_help="Search faster settings for a served model on your machine and texts.")
@click.argument("name")
@click.option(
    "-r",
    "--repository",
    type=ModelRepository(file_okay=False),
    default="model_repository",
    show_default=True,
    help="Model repository to tune.",
)
@click.option("--url", help="host:port (HTTP) of a Triton that reads this repository and loads by request.")
@click.option("--text", type=FILE, help="File of texts: lines, or a .csv. Default: the bundled Korean corpus.")
@click.option("--column", help="Column of the .csv that holds the texts.")
@click.option("--concurrency", type=Numbers(int), default="1,16", show_default=True, help="Clients; each counts alike.")
@click.option("--minutes", type=SECONDS, default=10.0, show_default=True, help="Time limit of the search.")
@click.option("--duration", type=SECONDS, default=3.0, show_default=True, help="Seconds that a setting is measured.")
@click.option("--warmup", type=SECONDS, default=1.0, show_default=True, help="Seconds of load before that.")
@click.option("--requests", type=POSITIVE, default=128, show_default=True, help="Different texts to draw.")
@click.option("--tolerance", type=float, default=1e-3, show_default=True, help="Most that a number may change.")
@click.option("-y", "--yes", is_flag=True, help="Write the result without asking.")
def tune(
    name: str,
    repository: Path,
    url: str | None,
    text: Path | None,
    column: str | None,
    concurrency: tuple[int, ...],
    minutes: float,
    duration: float,
    warmup: float,
    requests: int,
    tolerance: float,
    yes: bool,
) -> None:
    """Search faster settings for the model NAME: instances, threads, batches, buckets, queue delay.

    Each setting is served and measured, and must give the answers that the repository gives now. The best is measured
    again by turns with the present one; what changes is shown, and written after a yes.
    """
    from rich.console import Console

    from tbgen.server.bench.point import Load, Timing
    from tbgen.server.bench.texts import corpus_from_file, own_corpus
    from tbgen.server.tune.tune import TunePlan
    from tbgen.server.tune.tune import tune as search

    loads = [Load("http", clients) for clients in concurrency]
    plan = TunePlan(loads, Timing(duration, warmup), minutes, requests, tolerance)
    corpus = corpus_from_file(text, column) if text else own_corpus()
    console, out = Console(stderr=True), Console()
    with progress_bar(console) as on_progress:
        tuned = search(name, repository, stage_from(repository, url), corpus, plan, on_progress)
    show(tuned, out)
    if tuned.edits:
        show_difference(repository, tuned.edits, out)
        if yes or click.confirm(f"Write this into {repository}?"):
            finish(repository, tuned, url, out)


def stage_from(repository: Path, url: str | None) -> EmbeddedStage | LiveStage:
    """Where settings are tried. Raises UserError."""
    from tbgen.generator.repository import refuse_empty_repository
    from tbgen.server.tune.stages import EmbeddedStage, LiveStage

    refuse_empty_repository(repository)
    return LiveStage(repository, url) if url else EmbeddedStage(repository)


def show(tuned: Tuned, out: Console) -> None:
    """What was tried, best first, and what it won."""
    from rich.text import Text

    from tbgen.cli.show_bench import table_of_numbers
    from tbgen.server.tune.tune import words

    table = table_of_numbers(
        f"{tuned.model}: {len(tuned.trials)} settings tried, texts a second",
        *(load.label for load in tuned.loads),
        "mean",
    )
    table.columns[0].header = "setting"
    table.columns[0].no_wrap = False
    for trial in sorted(tuned.trials, key=lambda trial: -trial.score):
        cells = [f"{rate:,.1f}" for rate in (*trial.rates, trial.score)] if trial.rates else []
        table.add_row(Text(f"{words(trial.settings)}{': ' if trial.refused else ''}{trial.refused}"), *cells)
    out.print(table)
    if not tuned.edits:
        out.print("Nothing won by 3 % or more in the end: the repository stays as it is.", highlight=False)
        return
    rates = [
        f"{load.label} {before:,.1f} -> {after:,.1f} texts/s"
        for load, before, after in zip(tuned.loads, tuned.before, tuned.after, strict=True)
    ]
    low, high = min(tuned.gains), max(tuned.gains)
    out.print(
        f"Won: {tuned.gain:.2f} times as fast ({low:.2f} to {high:.2f} in {len(tuned.gains)} rounds)", style="bold"
    )
    out.print(f"{'; '.join(rates)} with {words(tuned.settings)}", highlight=False)


def show_difference(repository: Path, edits: Edits, out: Console) -> None:
    """The edits as a diff."""
    from rich.text import Text

    colours = {"+": "green", "-": "red", "@": "cyan"}
    for file, new in edits.items():
        old = (repository / file).read_text(encoding="utf-8")
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{file}", f"b/{file}", lineterm="", n=2)
        for line in lines:
            out.print(Text(line, style=colours.get(line[:1], "")), soft_wrap=True)


def finish(repository: Path, tuned: Tuned, url: str | None, out: Console) -> None:
    """Write the edits; a running server is asked to load them."""
    from tbgen.server.tune.stages import LiveStage, write

    write(repository, tuned.edits)
    if url:
        LiveStage(repository, url).load(sorted({file.parts[0] for file in tuned.edits}))
    out.print(f"Written into {repository}: {', '.join(map(str, tuned.edits))}", highlight=False)
