"""The command `tbgen`: a table of commands, each imported only when it runs, so that `--help` answers at once."""

from __future__ import annotations

import errno
import importlib
import inspect
import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.export.errors import UserError
from tbgen.export.interrupt import INTERRUPTS, interrupt_once

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "scaffold": (
        "tbgen.cli.scaffold:scaffold",
        "Write the models that serve a checkpoint into a model repository.",
    ),
    "export": (
        "tbgen.cli.export:export",
        "Turn a checkpoint into an engine file and prove its answers.",
    ),
    "check": ("tbgen.cli.check:check", "Check a model repository by Triton's rules, without a server."),
    "init": ("tbgen.cli.init:init", "Write a recipe that scaffold reads, by questions on a terminal."),
    "diff": ("tbgen.cli.diff:diff", "Show what an update of written models would change."),
    "update": ("tbgen.cli.update:update", "Write models anew; edited files are kept and shown."),
    "env": ("tbgen.cli.env:env", "Bring along packages that a model's steps need."),
    "deploy": ("tbgen.cli.deploy:deploy", "Bring models to servers: copies, images, Compose, Kubernetes."),
    "install-backends": (
        "tbgen.cli.install_backends:install_backends",
        "Put the code of the steps into a server's backend directory.",
    ),
    "serve": ("tbgen.cli.serve:serve", "Run the embedded Triton on a model repository."),
    "server": ("tbgen.cli.server:server", "Bring the embedded Triton beside numpy 2."),
    "gateway": ("tbgen.cli.gateway:gateway", "Serve OpenAI's, Cohere's, TEI's endpoints and a page before a Triton."),
    "infer": ("tbgen.cli.infer:infer", "Ask a served model for its answers to texts."),
    "probe": ("tbgen.cli.probe:probe", "Ask a running server's models a text each: do they answer?"),
    "run": ("tbgen.cli.run:run", "Run a model of a repository without Triton."),
    "show": ("tbgen.cli.show_pipeline:show", "Draw what a request to a model runs through."),
    "client": ("tbgen.cli.client:client", "Write a client for a model, in the language of your choice."),
    "verify": ("tbgen.cli.verify:verify", "Hold the engine and the served graphs against PyTorch."),
    "bench": ("tbgen.cli.bench:bench", "Measure a served model: throughput, latency, where the time goes."),
    "tune": ("tbgen.cli.tune:tune", "Search for the settings that serve your texts fastest here."),
    "capacity": ("tbgen.cli.capacity:capacity", "Tell how many replicas a rate of requests needs."),
    "doctor": ("tbgen.cli.doctor:doctor", "Tell what of this machine is there, works, or is missing."),
    "sbom": ("tbgen.cli.sbom:sbom", "Print what a model repository is made of, as CycloneDX says it."),
    "step": ("tbgen.cli.step:step", "Write, list and try steps of your own."),
    "completion": ("tbgen.cli.completion:completion", "Print what completes commands and names in your shell."),
}

# Commands that run the Python files of models, or steps' files: what a stranger gave can do there what its reader can.
_RUN_CODE = (
    "scaffold",
    "diff",
    "update",
    "serve",
    "gateway",
    "run",
    "client",
    "verify",
    "bench",
    "tune",
    "capacity",
    "step",
)
_TRUST = "Python files of steps and models run here with your rights: docs/how-to/regenerate.md says when."

# What a disk refuses; other errors of the system are faults of this program and show their traceback.
_REFUSED = {
    errno.EACCES: "mend its permissions, or name another place",
    errno.EPERM: "mend its permissions, or name another place",
    errno.EROFS: "name a place that can be written",
    errno.EXDEV: "it is a mount, or of a layer of a container's image; name a place that is neither",
    errno.ENOTDIR: "a part of the path is a file; name another place",
    errno.EISDIR: "name a file",
    errno.EEXIST: "something else has that name; move it elsewhere, or name another place",
    errno.ENOTEMPTY: "something was put there meanwhile; try again",
    errno.EBUSY: "it is a mount, or in use; name another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link in the path leads back to itself; remove it",
    errno.ENXIO: "it is a socket; name a file",
    errno.EIO: "the disk cannot read or write it; name another place",
    errno.ENOSPC: "free some space, or name another disk",
    errno.EDQUOT: "free some space, or name another disk",
    errno.EFBIG: "raise the limit (ulimit -f), or name another place",
}

_LOOP = "Symlink loop"  # with which pathlib before Python 3.13 says ELOOP
_STANDARD_ERROR = 2
_AROUND = 40  # characters that are shown of what cannot be written, on either side


class _LazyGroup(click.Group):
    """A group that knows its commands' names and one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, whose help begins with its line of the table."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        if command.short_help is None:
            command.short_help = COMMANDS[cmd_name][1]
            command.help = "\n\n".join(filter(None, (command.short_help, inspect.cleandoc(command.help or ""))))
            command.epilog = _TRUST if cmd_name in _RUN_CODE else None
        if ctx.resilient_parsing:
            from tbgen.cli.completion import complete_names

            complete_names(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands and options that begin so, from the table."""
        from click.shell_completion import CompletionItem

        commands = {name: words for name, (_, words) in COMMANDS.items() if name.startswith(incomplete)}
        items = [CompletionItem(name, help=words) for name, words in commands.items()]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run the program; a Ctrl-C or SIGTERM while it cleans up after another changes nothing, until it has ended."""
        _open_what_is_closed()
        interrupt_once(*INTERRUPTS)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it prints what the command's own sentence says
        if isinstance(sys.stdout, io.TextIOWrapper):  # a name may hold what no UTF-8 has
            sys.stdout.reconfigure(errors="backslashreplace")
        return super().main(*args, **settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what stands before a command; --help and --version are answered here."""
        with _in_one_sentence(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _in_one_sentence(ctx):
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@contextmanager
def _in_one_sentence(ctx: click.Context) -> Iterator[None]:
    """Let an old spelling, a Ctrl-C, and what the disk refused, become one sentence."""
    try:
        yield
    except click.NoSuchOption as error:
        from tbgen.cli.old_spellings import new_spelling

        if said := new_spelling(error):
            raise click.UsageError(said, error.ctx) from error
        raise
    except UserError as error:
        from tbgen.cli.show import visible

        raise UserError(visible(error.message)) from error
    except KeyboardInterrupt as error:
        from tbgen.cli.show import WHOLE

        kept = ctx.meta.get("tbgen.kept", WHOLE)
        raise UserError(f"interrupted; {kept}") from error
    except UnicodeEncodeError as error:  # bytes of a command line, or of a name on the disk, that are no UTF-8
        around = error.object[max(0, error.start - _AROUND) : error.end + _AROUND]
        raise UserError(f"{around!r} is not UTF-8, which is all that is written; name it otherwise") from error
    except shutil.SpecialFileError as error:
        raise UserError(f"{error}; name a file") from error
    except shutil.Error as error:  # of copying a folder: source, target and reason of each file
        _, target, reason = error.args[0][0]
        raise UserError(f"cannot copy to {target!r}: {reason}") from error
    except RuntimeError as error:
        if not str(error).startswith(_LOOP):
            raise
        raise UserError(f"{error}; {_REFUSED[errno.ELOOP]}") from error
    except OSError as error:
        if not _has_folder():
            raise UserError("the folder that you are in was removed; change to another one") from error
        if error.errno not in _REFUSED:
            raise
        place = error.filename2 or error.filename
        where = f"{str(place)!r}: " if place else ""
        raise UserError(f"{where}{error.strerror}; {_REFUSED[error.errno]}") from error


def _has_folder() -> bool:
    """Whether the folder in which this runs is there still."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _open_what_is_closed() -> None:
    """Give a program that was started without standard input or output (`<&-`) empty ones.

    Else the next files to be opened would have their numbers, and libraries print into them.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115


def _tell_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Not click's own option, which knows the versions of installed packages alone."""
    if asked:
        from tbgen.cli.show import say
        from tbgen.generator.version import version

        say(f"tbgen {version()}")
        context.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_tell_version, help="Say the version."
)
def main() -> None:
    """From a fine-tuned transformers checkpoint to a Triton model repository that takes text.

    Start with `tbgen scaffold kcbert`, then `tbgen serve` and `tbgen infer kcbert_onnx_ensemble "오늘도 상한가 갔다"`.
    """


if __name__ == "__main__":
    main()
