"""The options of the commands that take a request, or its source alone: made of the fields of Request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from click.decorators import FC

from tbgen.cli.repository import NamedPath
from tbgen.export.errors import NoSuchName
from tbgen.generator.request import FIELDS, OPTIONS, PLATFORMS, deciding, type_of

if TYPE_CHECKING:
    from tbgen.export.sources import Source

SOURCE = deciding("source")


class StepWords(click.Command):
    """A command on which `--separate` behind a step's option belongs to that step: click's own flags belong to none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self.joined(args))

    @staticmethod
    def joined(words: list[str]) -> list[str]:
        """The words, a step's `--separate` joined to the step."""
        found: list[str] = []
        for word in words:
            if word == "--separate" and found[-2:-1] in (["--pre"], ["--post"]):
                found[-1] += " --separate"
            else:
                found.append(word)
        return found


def request_options(*names: str, **settings: Mapping[str, Any]) -> Callable[[FC], FC]:
    """Add the options of a request's fields, all unless named; `settings`: those of click's that are others here."""

    def decorate(function: FC) -> FC:
        for name in reversed(names or tuple(OPTIONS)):
            function = _option(name, settings.get(name, {}))(function)
        return function

    return decorate


def refuse_idle(asked: Mapping[str, Any]) -> None:
    """Raise UsageError for options of a request that were given and of which no model would have anything."""
    context = click.get_current_context()
    given = {name for name in asked if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    idle = {"platform": "--platform", "vendor": "--vendor" if asked["vendor"] else "--no-vendor"}
    if asked["steps"] == "backend" and not (asked["pre"] or asked["post"]) and (found := given & idle.keys()):
        raise click.UsageError(
            f"{idle[min(found)]} does nothing beside --steps backend, whose models hold no code: leave it out, and "
            "give it to `tbgen install-backends`"
        )


def _known_platform(_: click.Context, __: click.Parameter, platform: str | None) -> str | None:
    """A processor that packages can be brought along for. Raises NoSuchName."""
    if platform and platform not in PLATFORMS:
        raise NoSuchName("platform", platform, list(PLATFORMS))
    return platform


source_options = request_options(*SOURCE)
platform_option = request_options("platform", platform={"callback": _known_platform})


def source_from_options(options: dict[str, Any]) -> tuple[Source, dict[str, Any]]:
    """The source that the options name, and what they say that a checkpoint is for, as exports take it; both are taken
    out of the options. Raises UsageError where they name no source, UserError.
    """
    from tbgen.export.sources import Source
    from tbgen.export.tasks.table import exported_as

    source, *others = SOURCE
    if options[source] is None:
        raise click.UsageError("Missing option '--source'.")
    named = Source(str(options.pop(source)), **{name: options.pop(name) for name in others})
    return named, {"task": exported_as(options.pop("task")), "labels": options.pop("labels") or None}


def _option(name: str, settings: Mapping[str, Any]) -> Callable[[FC], FC]:
    """The option of a field, with these settings in place of its own."""
    option, kind, default = OPTIONS[name], type_of(name), FIELDS[name].default
    flag = option.flag or f"--{name.replace('_', '-')}"
    own: dict[str, Any] = {
        "help": option.help,
        "metavar": option.metavar,
        "type": {"Path": NamedPath(), "int": click.IntRange(min=option.least)}.get(kind),
        "multiple": kind.startswith("tuple"),
        "default": default,
        "show_default": default not in (None, ()),
    }
    return click.option(f"{flag}/--no-{name}" if kind == "bool" else flag, name, **(own | dict(settings)))
