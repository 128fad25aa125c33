"""`tbgen diff`: what an update of written models would change, and what people changed in them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.options import ANY_PATH, FILE_PATH, json_option, quiet_option, repository_option
from tbgen.cli.show import has_flag, notes, output, print_difference, print_json, status_line
from tbgen.cli.suggested import recipe_completed
from tbgen.generator.request import RECIPE_FILE, REPOSITORY

if TYPE_CHECKING:
    from tbgen.generator.scaffold import Request
    from tbgen.generator.update import FileChange, Update

    RequestedModels = list[tuple[Request, tuple[str, ...] | None]]

# What each state of a file means to a person: (colour, words).
STATE_WORDS = {
    "new": ("green", "new"),
    "missing": ("green", "not there; tbgen writes it"),
    "updated": ("green", "tbgen writes another now"),
    "removed": ("green", "tbgen no longer writes it"),
    "edited": ("yellow", "edited by you, kept"),
    "conflict": ("red", "edited by you, kept; tbgen writes another now"),
    "own": ("dim", "yours"),
    "namesake": ("red", "yours; tbgen writes one of that name now, rename yours"),
}


def name_options(function: click.decorators.FC) -> click.decorators.FC:
    """What diff and update share."""
    for decorate in (
        quiet_option,
        json_option,
        repository_option(f"the recipe's, or {REPOSITORY}"),
        click.option(
            "--source",
            type=ANY_PATH,
            help="Checkpoint or its export. Default: the recipe's, what stands in the repository, the preset.",
        ),
        click.option("--recipe", type=FILE_PATH, help=f"Default: {RECIPE_FILE}, if there."),
        click.option(
            "--no-own-steps", is_flag=True, help="Leave out models with steps of their own, whose code would run."
        ),
        click.argument("name", required=False),
    ):
        function = decorate(function)
    return function


@click.command()
@name_options
@click.option("--exit-code", is_flag=True, help="Exit with 1 when an update would change something.")
def diff(exit_code: bool, **asked: Any) -> None:
    """What was edited in them is shown too.

    NAME is the name given to scaffold; it can be left out in a folder with a recipe.
    """
    from tbgen.generator.update import KEPT

    records, changed = [], False
    for update in updates(**asked):
        records.append(update_record(update))
        changed |= any(change.state not in ("same", *KEPT) for change in update.changes)
        if not has_flag("json"):
            print_update(update)
    if has_flag("json"):
        print_json(records)
    if exit_code and changed:
        raise click.exceptions.Exit(1)


def update_record(update: Update) -> dict[str, Any]:
    """An update as plain values."""
    return {
        "models": update.models,
        "same_source": update.same_source,
        "other_settings": update.changed_settings,
        "new_settings": update.new_settings,
        "files": [
            {"model": change.model, "file": change.name, "state": change.state}
            for change in update.changes
            if change.state != "same"
        ],
    }


def updates(
    name: str | None, source: Path | None, recipe: Path | None, repository: Path | None, no_own_steps: bool
) -> Iterator[Update]:
    """The models of NAME written anew, one request after the other; each is gone when the next is asked for."""
    from tbgen.generator.recipe import NO_NAME, recipe_from_file
    from tbgen.generator.role import written_models
    from tbgen.generator.update import requests_from_records, update_of_request

    file = recipe or (Path(RECIPE_FILE) if Path(RECIPE_FILE).is_file() else None)
    found = recipe_from_file(file) if file else None
    by_recipe = found is not None and name in (None, found.name) and source is None
    if found and by_recipe:
        where = repository or found.repository
        requests: RequestedModels = [(request, None) for request in found.requests]
    elif name is None:
        raise click.UsageError(NO_NAME)
    elif recipe and found:
        said = f"{str(recipe)!r} is not read for {name!r}, nor beside --source: it is the recipe of {found.name!r}"
        raise click.UsageError(f"{said}; leave out --recipe, or the others")
    else:
        where = repository or Path(REPOSITORY)
        requests = [*requests_from_records(where, name, source)]
    spoken_for = set[str]()
    if no_own_steps:
        requests = [*_without_own_steps(requests)]
    for request, models in requests:
        with ExitStack() as stack:
            anew = recipe_completed(found.requests, where, file) if found and by_recipe else nullcontext()
            with status_line(notes()) as tell, anew:
                update = stack.enter_context(update_of_request(request, where, models=models, on_progress=tell))
            spoken_for |= {*update.models}
            yield update
    if by_recipe and not no_own_steps:
        beside = ((model, each.role.name) for model, each in written_models(where).items() if model not in spoken_for)
        others = [model for model, name in beside if name == requests[0][0].name]
        if others:
            notes().print(
                f"Not in {file}, left as they are: {', '.join(others)}; `tbgen diff {shlex.quote(others[0])} -r "
                f"{shlex.quote(str(where))}` looks at them"
            )


def _without_own_steps(requests: RequestedModels) -> Iterator[tuple[Request, tuple[str, ...] | None]]:
    """The requests for which no step's file is run; the others are named."""
    from tbgen.generator.steps.plugins import step_files

    for request, models in requests:
        if files := step_files(vars(request)):
            names, code = ", ".join(models or (request.name,)), ", ".join(file.name for file in files)
            notes().print(f"Left out, since {code} would run: {names}", style="yellow")
        else:
            yield request, models


def print_update(update: Update, *, force: bool = False) -> None:
    """Every file that is not as tbgen writes it now, and both sides of each edit; `force`: edits are not kept."""
    from rich.text import Text

    from tbgen.generator.request import OPTIONS
    from tbgen.generator.update import three_way

    out = output(soft_wrap=True)
    if not update.same_source:
        out.print("The checkpoint is another one than before.", style="yellow")
    for model, settings in update.changed_settings.items():
        out.print(f"The settings asked for now are not those of {model}: {', '.join(settings)}", style="yellow")
    for name, value in update.new_settings.items():
        out.print(f"New since these models were written: {name} = {value}. {OPTIONS[name].help}", style="yellow")
    changes = [change for change in update.changes if change.state != "same"]
    if not changes:
        out.print(f"{', '.join(update.models)}: as tbgen writes them")
    for path, state in _rows(changes):
        colour, words = STATE_WORDS[state]
        out.print(Text(f"{path}: {words.replace('kept', 'replaced') if force else words}", style=colour))
    for change in changes:
        if change.state in ("edited", "conflict", "namesake"):
            for who, lines in three_way(change):
                out.print(Text(f"\n{change.model}/{change.name}: {who}", style="bold"))
                print_difference(lines.splitlines())


def _rows(changes: Sequence[FileChange]) -> list[tuple[str, str]]:
    """Path and state of each change; the files of one vendored package as one row."""
    from tbgen.generator.repository import VENDOR

    paths = []
    for change in changes:
        path = f"{change.model}/{change.name}"
        before, vendored, _ = path.partition(f"/{VENDOR}/")
        paths.append((before + vendored, change.state))
    return list(dict.fromkeys(paths))
