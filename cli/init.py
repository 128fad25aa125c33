"""`tbgen init`: writes a recipe, by questions on a terminal."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tbgen.cli.options import FILE_PATH, goes_without, json_option, quiet_option, repository_option
from tbgen.cli.request import StepWords, refuse_idle, request_options
from tbgen.cli.scaffold import note_device
from tbgen.cli.show import report, said_late, say
from tbgen.generator.graphs import AUTO
from tbgen.generator.request import RECIPE_FILE, REPOSITORY, Request


@click.command(cls=StepWords)
@click.argument("name", required=False)
@request_options(engine={"multiple": True, "default": [AUTO]}, fixed_length={"type": click.IntRange(min=0)})
@repository_option(f"{REPOSITORY} beside the recipe")
@click.option("-o", "--output", type=FILE_PATH, default=RECIPE_FILE, show_default=True)
@click.option("--force", is_flag=True, help="Replace a recipe that is there.")
@json_option
@quiet_option
@goes_without("--no-vendor", "--platform")
def init(engine: tuple[str, ...], repository: Path | None, output: Path, force: bool, **asked: Any) -> None:
    """The recipe tbgen.toml says what to scaffold, in a file to commit: `tbgen scaffold` in its folder then writes the
    same repository on any machine. Options are scaffold's; --engine can be repeated here. On a terminal it asks for
    what they leave open; --fixed-length 0 says that there is none.
    """
    from dataclasses import replace

    from tbgen.export.errors import UserError
    from tbgen.export.files import write_whole
    from tbgen.generator.recipe import Recipe, text_from_recipe
    from tbgen.generator.resolve import resolve, source_of
    from tbgen.generator.steps.vendor import this_platform

    if output.exists() and not force:
        raise UserError(f"{str(output)!r} exists; --force replaces it, -o writes another")
    if sys.stdin.isatty():
        asked |= _answers(asked)
    if not asked["name"]:
        raise click.UsageError("name the models")
    asked |= {"fixed_length": asked["fixed_length"] or None, "platform": asked["platform"] or this_platform()}
    refuse_idle(asked)
    requests = tuple(Request(engine=each, **asked) for each in engine)
    resolved = [resolve(request) for request in requests]  # what scaffold would refuse is no recipe
    source, meaning = source_of(requests[0]), resolved[0].meaning
    with said_late(f"Reading the weights of {source.place}"):
        weights, told = source.weights(**meaning), source.explanation(**meaning)
    requests = tuple(replace(each.request, weights=weights) for each in resolved)
    recipe = Recipe(requests, repository or output.parent / REPOSITORY)
    write_whole(output, text_from_recipe(recipe, output.parent).encode("utf-8"))
    note_device(asked["device"], requests[0])
    if told:
        say(f"Chosen: {told}", note=True)
    following = "tbgen scaffold" + ("" if output == Path(RECIPE_FILE) else f" --recipe {shlex.quote(str(output))}")
    report({"written": output, "next": following}, lambda: say(f"Written: {output}. Next: {following}"))


def _answers(asked: dict[str, Any]) -> dict[str, Any]:
    """A person's answers to what the command line leaves open."""
    from tbgen.generator.graphs import GRAPHS
    from tbgen.generator.presets import PRESETS

    found = {"name": asked["name"] or click.prompt("Name of the models", default=next(iter(PRESETS)))}
    found["source"] = asked["source"] or _ask_source(None if found["name"] not in PRESETS else "")
    if click.get_current_context().get_parameter_source("graph") is not ParameterSource.COMMANDLINE:
        found["graph"] = click.prompt("Graph", type=click.Choice([*GRAPHS, AUTO]), default="both")
    if asked["fixed_length"] is None:
        words = "Pad every text to a fixed number of tokens (0: no)"
        found["fixed_length"] = click.prompt(words, type=click.IntRange(0), default=0)
    return found


def _ask_source(default: str | None) -> Path | None:
    """The folder of a checkpoint, or a file; None for the bundled sample, which only a preset's name stands for."""
    words = "Folder of the checkpoint" + ("" if default is None else " (empty: the bundled sample)")
    while answer := click.prompt(words, default=default, show_default=False):
        if Path(answer).exists():
            return Path(answer)
        say(f"There is no folder {answer!r}.")
    return None
