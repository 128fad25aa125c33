"""`tbgen completion`: what a shell needs to complete commands, options and the names that are their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from tbgen.generator.request import REPOSITORY

_SHELLS = ("bash", "zsh", "fish")
_NAMING = ("scaffold", "init", "verify")  # their NAME is one that scaffold is given, not a model's


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """For bash, add this line to ~/.bashrc: eval "$(tbgen completion bash)"; for zsh likewise to ~/.zshrc. For fish:
    tbgen completion fish > ~/.config/fish/completions/tbgen.fish

    Completed are commands, options, names of the models in the repository at hand, engines, graphs and tasks.
    """
    from tbgen.cli.show import say

    known = get_completion_class(shell)
    assert known is not None
    say(known(click.get_current_context().find_root().command, {}, "tbgen", "_TBGEN_COMPLETE").source())


def _model_names(context: click.Context) -> Iterable[str]:
    """The models of the repository, and the names given to scaffold that wrote them."""
    from tbgen.generator.repository import model_folders

    repository = _repository_of(context)
    return {folder.name for folder in model_folders(repository)} | _written_names(repository)


def _given_names(context: click.Context) -> Iterable[str]:
    """The names that scaffold is given: presets, and those that it was given before."""
    from tbgen.generator.presets import PRESETS

    return PRESETS.keys() | _written_names(_repository_of(context))


def _written_names(repository: Path) -> set[str]:
    """The names given to scaffold that wrote a repository's models."""
    from tbgen.generator.role import written_models

    return {model.role.name for model in written_models(repository).values()}


def _repository_of(context: click.Context) -> Path:
    """What -r names so far."""
    return Path(context.params.get("repository") or REPOSITORY)


def _engine_names(_: click.Context) -> Iterable[str]:
    """The engines."""
    from tbgen.generator.engines.table import ENGINES
    from tbgen.generator.graphs import AUTO

    return (AUTO, *ENGINES)


def _task_names(_: click.Context) -> Iterable[str]:
    """The tasks, those of installed packages too."""
    from tbgen.export.tasks.table import all_tasks

    return all_tasks()


# By the name of the parameter, whichever command has it; and the choices of a request's fields.
_NAMES: dict[str | None, Callable[[click.Context], Iterable[str]]] = {
    **dict.fromkeys(("name", "names", "models"), _model_names),
    "engine": _engine_names,
    "task": _task_names,
}


def complete_names(command: click.Command) -> None:
    """Have the parameters of a command, and of the commands in a group, complete the names that they take."""
    from tbgen.generator.request import OPTIONS

    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        complete_names(inner)
    for parameter in command.params:
        choices = OPTIONS[parameter.name].choices if parameter.name in OPTIONS else ()
        names = _NAMES.get(parameter.name, (lambda _, choices=choices: choices) if choices else None)
        if names is _model_names and command.name in _NAMING:
            names = _given_names
        if names:
            parameter.shell_complete = partial(_items_of, names)  # type: ignore[method-assign]


def _items_of(
    names: Callable[[click.Context], Iterable[str]], context: click.Context, incomplete: str
) -> list[CompletionItem]:
    """Those of the names that begin so, and that a shell takes as they stand: it would run what is in others."""
    from tbgen.generator.names import plain_in_shell

    found = sorted(name for name in names(context) if name.startswith(incomplete))
    return [CompletionItem(name) for name in found if plain_in_shell(name)]
