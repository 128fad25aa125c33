"""The options that mean the same in every command."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from tbgen.cli.repository import ModelRepository, NamedPath
from tbgen.generator.addresses import FORMS, LISTEN, URLS
from tbgen.generator.request import REPOSITORY

if TYPE_CHECKING:
    from tbgen.generator.texts import TextFile

FC = TypeVar("FC", bound=Callable[..., Any] | click.Command)

OWN_SENTENCES = "sentences of tbgen's own, to compare on"
ANY_PATH = NamedPath()
FILE_PATH = NamedPath(dir_okay=False)
FILE_THERE = NamedPath(dir_okay=False, exists=True)
FOLDER_PATH = NamedPath(file_okay=False)
_HEADER = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)=([ -~]+)")


class Finite(click.FloatRange):
    """A number within bounds, which infinity and NaN are not, though Python reads them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


SECONDS = Finite(min=0, min_open=True)
TOLERANCE = Finite(min=0)
POSITIVE = click.IntRange(min=1)
PORT = click.IntRange(1, 65535)

OR_STARTED = f"{REPOSITORY}; with --url none"  # of commands that start a server where no other is named

# Of the commands whose subject is the whole repository; all others take the option.
repository_argument = click.argument("repository", type=ModelRepository(file_okay=False), default=REPOSITORY)


def _remembered(context: click.Context, parameter: click.Parameter, value: bool | str | None) -> None:
    """Keep a value where `tbgen.cli.show.has_flag` looks for it."""
    context.meta[f"tbgen.{parameter.name}"] = value


_FLAG: dict[str, Any] = {"is_flag": True, "expose_value": False, "callback": _remembered}
json_option = click.option("--json", help="Print JSON.", **_FLAG)
quiet_option = click.option("-q", "--quiet", help="Show no progress.", **_FLAG)


def repository_option(default: str = "") -> Callable[[FC], FC]:
    """-r, by default the folder model_repository, or what `default` says."""
    known: dict[str, Any] = {} if default else {"default": REPOSITORY, "show_default": True}
    words = f"Model repository. Default: {default}." if default else "Model repository."
    return click.option("-r", "--repository", type=ModelRepository(file_okay=False), help=words, **known)


def duration_option(default: float) -> Callable[[FC], FC]:
    """--duration, of each point of a measurement."""
    words = "Seconds that a point is measured."
    return click.option("--duration", type=SECONDS, default=default, show_default=True, help=words)


def warmup_option(default: float) -> Callable[[FC], FC]:
    """--warmup, before each point of a measurement."""
    words = "Seconds of load before that."
    return click.option("--warmup", type=SECONDS, default=default, show_default=True, help=words)


def _host(context: click.Context, _: click.Parameter, value: str) -> str:
    """A name or an address: a socket takes an empty word for all addresses."""
    try:
        named = bool(value.encode("idna"))
    except UnicodeError:
        named = False
    if not named:
        raise click.BadParameter(f"{value!r} is no name or address, such as {LISTEN}", context)
    return value


host_option = click.option(
    "--host",
    callback=_host,
    default=LISTEN,
    show_default=True,
    help="Address to listen on; 0.0.0.0 opens it to others.",
)


def timeout_option(default: float = 60.0) -> Callable[[FC], FC]:
    """--timeout, of each answer of a server."""
    words = "Seconds to wait for an answer."
    return click.option("--timeout", type=SECONDS, default=default, show_default=True, help=words)


def url_option(words: str, *, multiple: bool = False) -> Callable[[FC], FC]:
    """--url, read by server/client/address.py."""
    name = "urls" if multiple else "url"
    return click.option("--url", name, metavar="ADDRESS", multiple=multiple, help=f"Server: {FORMS}. {words}")


def server_options(
    words: str = f"Default: {URLS['gRPC']}.", *, multiple: bool = False, optional: bool = False
) -> Callable[[FC], FC]:
    """--url and --header of a running server; optional: without --url none is asked, and --header is refused."""

    def decorate(function: FC) -> FC:
        checked = goes_with("--url", "--header")(function) if optional else function
        return url_option(words, multiple=multiple)(_header_option(checked))

    return decorate


def _headers(context: click.Context, _: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Name -> value; names in small letters, as HTTP/2 wants them."""
    found = {}
    for value in values:
        match = _HEADER.fullmatch(value)
        if not match:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE in plain ASCII, such as admin-key=secret", context)
        found[match[1].lower()] = match[2]
    return found


def goes_with(needed: str, *flags: str) -> Callable[[FC], FC]:
    """Refuse, on a command, options that do nothing without another one: given alone, they were meant for it."""
    return _checked(flags, lambda given: needed not in given, f"goes with {needed}; add that, or leave it out")


def goes_without(other: str, *flags: str) -> Callable[[FC], FC]:
    """Refuse, on a command, options that do nothing beside another one."""
    return _checked(flags, lambda given: other in given, f"does nothing beside {other}; leave one of them out")


def refuse_kept(keep_fp32: tuple[str, ...], precision: str | None) -> None:
    """Raise UsageError for parts that are to stay in FP32 where no other is made."""
    if keep_fp32 and precision in (None, "fp32"):
        raise click.UsageError("--keep-fp32 names what another --precision leaves in FP32; add that")


def _checked(flags: tuple[str, ...], is_wrong: Callable[[set[str]], bool], words: str) -> Callable[[FC], FC]:
    """A command that is refused, with these words of the first of the flags, where it was given any of them wrongly."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def checked(*arguments: Any, **options: Any) -> Any:
            given = _given()
            if (found := [flag for flag in flags if flag in given]) and is_wrong(given):
                raise click.UsageError(f"{found[0]} {words}")
            return function(*arguments, **options)

        return checked

    return decorate


def _given() -> set[str]:
    """The options of the command line, as the command that runs names them first."""
    context, found = click.get_current_context(), set()
    for each in context.command.params:
        said = context.get_parameter_source(str(each.name)) is ParameterSource.COMMANDLINE
        if isinstance(each, click.Option) and said:
            value = context.params.get(str(each.name), True)
            found.add((each.opts if value is not False else each.secondary_opts or each.opts)[-1])
    return found


# The command gets `headers`, name -> value, for server/client/connection.py.
_header_option = click.option(
    "--header",
    "headers",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_headers,
    help="Header of each request to the server, such as the key of a restricted API; repeatable.",
)


# Of the two commands that export.
export_output = click.option("-o", "--output", type=ANY_PATH, required=True, help="Folder to write.")
export_force = click.option("--force", is_flag=True, help="Replace an earlier export.")


def text_options(default: str) -> Callable[[FC], FC]:
    """--text and --column: the command gets `text`, a TextFile or None."""
    words = f"File of texts: lines, .csv, .jsonl, or - for lines of standard input. Default: {default}."
    kind = NamedPath(dir_okay=False, allow_dash=True)
    option = click.option("--text", type=kind, callback=_text_file, help=words)
    column = click.option(
        "--column",
        is_eager=True,  # so that it is known when the file is
        expose_value=False,
        callback=_remembered,
        help="Column of the .csv or .jsonl that holds the texts.",
    )
    return lambda function: option(column(function))


def _text_file(context: click.Context, _: click.Parameter, path: Path | None) -> TextFile | None:
    """What --text and --column name."""
    column = context.meta.get("tbgen.column")
    if path is None:
        if column:
            raise click.UsageError("--column names a column of --text; add --text FILE")
        return None
    from tbgen.generator.texts import TextFile

    return TextFile(path, column)
