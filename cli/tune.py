"""`tbgen tune`: finds faster settings on one's own machine and texts, shows the difference, writes it if wanted."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.bench import Numbers
from tbgen.cli.options import (
    POSITIVE,
    SECONDS,
    TOLERANCE,
    duration_option,
    json_option,
    quiet_option,
    repository_option,
    server_options,
    text_options,
    warmup_option,
)
from tbgen.cli.show import (
    MEASURED_BEFORE,
    NOTHING_MEASURED,
    WHOLE,
    has_flag,
    keep,
    notes,
    output,
    print_difference,
    print_json,
    status_line,
    whole_or_part,
)

if TYPE_CHECKING:
    from tbgen.generator.texts import TextFile
    from tbgen.server.client.address import Address
    from tbgen.server.tune.stages import Edits, EmbeddedStage, LiveStage
    from tbgen.server.tune.tune import TuneResult


@click.command()
@click.argument("name")
@repository_option()
@server_options(
    "It must read this repository and load by request. Default: one is started here for each setting.", optional=True
)
@text_options("the bundled Korean corpus")
@click.option("--concurrency", type=Numbers(int), default="1,16", show_default=True, help="Clients; each counts alike.")
@click.option("--minutes", type=SECONDS, default=10.0, show_default=True, help="Time limit of the search.")
@duration_option(3.0)
@warmup_option(1.0)
@click.option("--requests", type=POSITIVE, default=128, show_default=True, help="Different texts to draw.")
@click.option("--tolerance", type=TOLERANCE, default=1e-3, show_default=True, help="Most that a number may change.")
@click.option("-y", "--yes", is_flag=True, help="Write the result without asking; with --json nothing is asked.")
@json_option
@quiet_option
def tune(name: str, repository: Path, url: str | None, text: TextFile | None, yes: bool, **options: Any) -> None:
    """What can be turned of the model NAME: instances, threads, batches, buckets, queue delay.

    Each setting is served and measured, and must give the answers that the repository gives now. The best is measured
    again by turns with the present one; what changes is shown, and written after a yes.
    """
    from tbgen.server.bench.point import Load, Timing
    from tbgen.server.bench.texts import corpus_from_file
    from tbgen.server.client.address import address_from_url
    from tbgen.server.tune.tune import TunePlan
    from tbgen.server.tune.tune import tune as search

    address = address_from_url(url, headers=options["headers"]) if url is not None else None
    loads = [Load(address.protocol if address else "http", clients) for clients in options["concurrency"]]
    limits = {key: options[key] for key in ("minutes", "requests", "tolerance")}
    plan = TunePlan(loads, Timing(options["duration"], options["warmup"]), **limits)
    corpus, stage = corpus_from_file(text), _stage_from(name, repository, address)
    as_it_was = f"{str(repository)!r} is as it was"
    keep(f"{as_it_was}; {NOTHING_MEASURED}")
    with status_line(notes()) as tell:
        find = partial(search, name, repository, stage, corpus, plan, tell)
        tuned, end = whole_or_part(find, f"{as_it_was}; {MEASURED_BEFORE}")
    if not has_flag("json"):
        _print_trials(tuned)
        print_difference(_differences(repository, tuned.edits))
    writes = bool(tuned.edits) and (yes or (not has_flag("json") and click.confirm(f"Write this into {repository}?")))
    if writes:
        keep(f"{WHOLE} in {str(repository)!r}")
        _finish(repository, tuned, address)
    if has_flag("json"):
        print_json(_record_of(tuned) | {"written": writes})
    elif writes:
        output().print(f"Written into {repository}: {', '.join(map(str, tuned.edits))}")
    end()


def _stage_from(name: str, repository: Path, address: Address | None) -> EmbeddedStage | LiveStage:
    """Where settings of a model are tried. Raises NoSuchName, UserError."""
    from tbgen.server.client.client import refuse_unknown
    from tbgen.server.tune.stages import EmbeddedStage, LiveStage

    refuse_unknown(repository, [name])
    return LiveStage(repository, address) if address else EmbeddedStage(repository)


def _record_of(tuned: TuneResult) -> dict[str, Any]:
    """The outcome as plain values."""
    return {
        "model": tuned.model,
        "loads": [load.label for load in tuned.loads],
        "trials": [
            {
                "settings": trial.settings,
                "rates": trial.rates,
                "refused": trial.refused,
                "gpu": [use and asdict(use) for use in trial.gpu],
            }
            for trial in tuned.trials
        ],
        "settings": tuned.settings,
        "before": tuned.before,
        "after": tuned.after,
        "gain": tuned.gain,
        "missing": tuned.missing,
        "edits": {str(file): text for file, text in tuned.edits.items()},
    }


def _print_trials(tuned: TuneResult) -> None:
    """What was tried, best first, and what it won."""
    from rich.text import Text

    from tbgen.cli.show_bench import table_of_numbers
    from tbgen.server.bench.gpu import gpu_text
    from tbgen.server.tune.tune import settings_text

    out, on_gpu = output(), any(any(trial.gpu) for trial in tuned.trials)
    table = table_of_numbers(
        f"{tuned.model}: {len(tuned.trials)} settings tried, texts a second",
        *(load.label for load in tuned.loads),
        "mean",
        *([f"GPU, {tuned.loads[-1].label}"] if on_gpu else []),
    )
    table.columns[0].header = "setting"
    table.columns[0].no_wrap = False
    for trial in sorted(tuned.trials, key=lambda trial: -trial.score):
        cells = [f"{rate:,.1f}" for rate in (*trial.rates, trial.score)] if trial.rates else []
        cells += [gpu_text(trial.gpu[-1])] if on_gpu and trial.gpu else []
        table.add_row(Text(f"{settings_text(trial.settings)}{': ' if trial.refused else ''}{trial.refused}"), *cells)
    out.print(table)
    if tuned.missing:
        out.print(f"{tuned.missing}, so nothing is written", style="bold red")
        return
    if not tuned.edits:
        out.print("Nothing won by 3 % or more in the end: the repository stays as it is.")
        return
    rates = [
        f"{load.label} {before:,.1f} -> {after:,.1f} texts/s"
        for load, before, after in zip(tuned.loads, tuned.before, tuned.after, strict=True)
    ]
    low, high = min(tuned.gains), max(tuned.gains)
    out.print(
        f"Won: {tuned.gain:.2f} times as fast ({low:.2f} to {high:.2f} in {len(tuned.gains)} rounds)", style="bold"
    )
    out.print(f"{'; '.join(rates)} with {settings_text(tuned.settings)}")


def _differences(repository: Path, edits: Edits) -> list[str]:
    """The edits as the lines of a diff."""
    return [
        line
        for file, new in edits.items()
        for line in difflib.unified_diff(
            (repository / file).read_text(encoding="utf-8").splitlines(),
            new.splitlines(),
            f"a/{file}",
            f"b/{file}",
            lineterm="",
            n=2,
        )
    ]


def _finish(repository: Path, tuned: TuneResult, address: Address | None) -> None:
    """Write the edits; a running server is asked to load them."""
    from tbgen.server.tune.stages import LiveStage, write_edits

    write_edits(repository, tuned.edits)
    if address:
        LiveStage(repository, address).load(sorted({file.parts[0] for file in tuned.edits}))
