"""`tbgen deploy image`, `compose`, `kubernetes` and the others of their table: files for who runs servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tbgen.cli.diff import STATE_WORDS
from tbgen.cli.options import FOLDER_PATH, POSITIVE, json_option, quiet_option, repository_argument
from tbgen.cli.show import report, said_late, say
from tbgen.generator.request import RECIPE_FILE
from tbgen.server.deploy.launch import AUTOSCALERS

if TYPE_CHECKING:
    from tbgen.server.deploy.files import Written

_CLUSTER = ("image", "models", "cpus", "memory", "replicas", "autoscaler", "canary_of")
# The commands, by the rows of server/deploy/table.py: what their help says, and which options they have beside a name.
DEPLOY_KINDS = {
    "image": ("Write a Containerfile that brings the models in NVIDIA's container.", ()),
    "compose": ("Write what Docker Compose needs to run a server here.", ("image", "models", "cpus", "memory")),
    "kubernetes": ("Write the objects of a fleet for Kubernetes.", _CLUSTER),
    "kserve": ("Write a runtime and a service of the models for KServe.", _CLUSTER[:-1]),
    "helm": ("Write a chart of a fleet for Helm.", _CLUSTER),
}
_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "image": click.option("--image", metavar="REGISTRY/NAME:TAG", help="Image with the models. Default: NVIDIA's own."),
    "models": click.option(
        "--models",
        metavar="PLACE",
        help="Where servers read the models: s3://BUCKET/PATH, gs://BUCKET/PATH, in a cluster pvc://CLAIM/PATH.",
    ),
    "cpus": click.option(
        "--cpus", type=POSITIVE, help="CPUs of a server. Default: the threads that the models' configs name, else 2."
    ),
    "memory": click.option("--memory", type=POSITIVE, help="MiB of a server. Default: computed."),
    "replicas": click.option(
        "--replicas", type=POSITIVE, default=2, show_default=True, help="Servers, or at least as many."
    ),
    "autoscaler": click.option(
        "--autoscaler",
        type=click.Choice(AUTOSCALERS),
        default=AUTOSCALERS[0],
        show_default=True,
        help="What starts more servers when requests wait.",
    ),
    "canary_of": click.option("--canary-of", metavar="NAME", help="Servers whose requests these shall get a share of."),
}


def folder_options(kind: str) -> Callable[[Any], Any]:
    """--output and --force, of each command that writes a folder."""
    output = click.option(
        "-o",
        "--output",
        type=FOLDER_PATH,
        default=Path("deploy") / kind,
        show_default=True,
        help="Folder to write into.",
    )
    force = click.option("--force", is_flag=True, help="Replace edited files too.")
    return lambda command: output(force(command))


def report_written(output: Path, written: Sequence[Written], start: str, *, force: bool, more: str = "") -> None:
    """Say what was written into a folder, what a person's edits have kept, and how it is started."""

    def draw() -> None:
        for each in written:
            if each.state in (("own", "namesake") if force else ("edited", "conflict", "own", "namesake")):
                say(f"{output / each.name}: {STATE_WORDS[each.state][1]}", note=True)
        say(f"Written: {output}.{more} Start: {start}")

    report({"folder": output, "start": start, "files": [asdict(each) for each in written]}, draw)


def deployment_commands() -> list[click.Command]:
    """A command for each kind."""
    return [_command(kind, words, options) for kind, (words, options) in DEPLOY_KINDS.items()]


def _command(kind: str, words: str, options: tuple[str, ...]) -> click.Command:
    """The command that writes one kind."""

    @click.option("--name", help="Name of what is made. Default: the name given to scaffold.")
    @click.option(
        "--triton",
        "release",
        metavar="RELEASE",
        help="Triton release, such as 24.12. Default: that whose TensorRT builds the plans, else the newest.",
    )
    @folder_options(kind)
    @repository_argument
    @json_option
    @quiet_option
    def write(repository: Path, output: Path, force: bool, autoscaler: str = AUTOSCALERS[0], **wishes: Any) -> None:
        from tbgen.generator.recipe import recipe_from_file
        from tbgen.server.deploy.fleet import Wishes
        from tbgen.server.deploy.table import write_deployment

        said = click.get_current_context().get_parameter_source("repository")
        if said is ParameterSource.DEFAULT and Path(RECIPE_FILE).is_file():
            recipe = recipe_from_file(Path(RECIPE_FILE))
            repository, wishes["name"] = recipe.repository, wishes["name"] or recipe.name
        with said_late(f"Writing {output} from {repository}"):
            start, written = write_deployment(
                kind, repository, output, Wishes(**wishes), autoscaler=autoscaler, force=force
            )

        report_written(output, written, start, force=force, more=" Its README.md has each value and its source.")

    for option in reversed(options):
        write = _OPTIONS[option](write)
    return click.command(kind, short_help=words, help=words)(write)
