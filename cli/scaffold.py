"""`tbgen scaffold`: the command line of tbgen.generator.scaffold."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tbgen.cli.options import FILE_PATH, goes_without, json_option, quiet_option, repository_option
from tbgen.cli.request import SOURCE, StepWords, refuse_idle, request_options
from tbgen.cli.show import WHOLE, has_flag, keep, notes, output, print_json, repository_tree, status_line
from tbgen.cli.suggested import completed, recipe_completed, words_of_fields
from tbgen.generator.addresses import GRPC, HTTP
from tbgen.generator.request import OPTIONS, RECIPE_FILE, REPOSITORY, Request

if TYPE_CHECKING:
    from tbgen.export.provenance import Build, Provenance
    from tbgen.generator.recipe import Recipe
    from tbgen.generator.scaffold import Scaffolded

_BACKEND_NOTE = (
    "These models hold no code: `tbgen install-backends DIR` puts it into DIR, a server's backend directory "
    "(`tbgen serve` has it; for the container add -v DIR/tbgen:/opt/tritonserver/backends/tbgen:ro)."
)
_CACHE_NOTE = (
    "Triton keeps the answers of the ensembles, and knows a request by its inputs alone: these models take no request "
    "parameters, and their clients must all ask for the same outputs (best: name none)."
)


@click.command(cls=StepWords)
@click.argument("name", required=False)
@request_options()
@repository_option(f"{REPOSITORY}, or the recipe's")
@click.option(
    "--recipe",
    type=FILE_PATH,
    help=f"Recipe that says all but --repository and --force. Default without NAME: {RECIPE_FILE}.",
)
@click.option("--force", is_flag=True, help="Replace models of the same name, edited ones too.")
@click.option(
    "--compare/--no-compare",
    "comparing",
    default=True,
    show_default=True,
    help="Hold the answers against those of the library that wrote the checkpoint, and write nothing if they differ.",
)
@json_option
@quiet_option
@goes_without("--no-vendor", "--platform")
def scaffold(
    name: str | None, repository: Path | None, recipe: Path | None, force: bool, comparing: bool, **asked: Any
) -> None:
    """They are written under NAME; a ready engine file is served likewise.

    Without --source, NAME is a preset: `tbgen scaffold kcbert` serves the bundled sample checkpoint. Without NAME, the
    recipe tbgen.toml in this folder says it all; `tbgen init` writes one.
    """
    from tbgen.generator.scaffold import scaffold as write

    refuse_idle(asked)
    found = _recipe_asked(name, recipe)
    requests = found.requests if found else (Request(str(name), **asked),)
    target = repository or (found.repository if found else Path(REPOSITORY))
    records = []
    for request in requests:
        _note_preset(request)
        anew = recipe_completed(requests, target, recipe)
        with status_line(notes()) as tell, completed(*_as_export(request, target, force=force)), anew:
            written = write(request, target, force=force, comparing=comparing, on_progress=tell)
        note_device(request.device, written.request)
        records.append(_record_of(written))
        keep(f"{WHOLE}; written before: {', '.join(model for record in records for model in record['models'])}")
        _note_proof(written)
        if not has_flag("json"):
            _print_roads(written, written.request)
        if request.steps == "backend":
            notes().print(_BACKEND_NOTE, style="yellow")
        if request.cache:
            notes().print(_CACHE_NOTE, style="yellow")
    if has_flag("json"):
        print_json(records)


def _as_export(request: Request, target: Path, *, force: bool) -> tuple[list[str], str]:
    """How the source of a request is exported by a command of its own, and the command that then serves it."""
    from tbgen.generator.presets import source_named

    values, read = vars(request), (*SOURCE[1:], "task", "labels")
    source = str(request.source or source_named(request.name))
    folder = f"{request.name}_export"
    served = words_of_fields(values, [name for name in OPTIONS if name not in (*read, "source")])
    then = ["tbgen", "scaffold", request.name, "--source", folder, *served, "-r", str(target), *["--force"] * force]
    return ["--source", source, "-o", folder, *words_of_fields(values, read)], f"; then: {shlex.join(then)}"


def _recipe_asked(name: str | None, file: Path | None) -> Recipe | None:
    """The recipe that stands for NAME and the options; None where these are given."""
    from tbgen.generator.recipe import NO_NAME, recipe_from_file

    if file is None and name is not None:
        return None
    if file is None and not Path(RECIPE_FILE).is_file():
        raise click.UsageError(NO_NAME)
    context = click.get_current_context()
    given = [each for each in context.params if context.get_parameter_source(each) is ParameterSource.COMMANDLINE]
    if others := sorted({*given} - {"repository", "recipe", "force", "comparing"}):
        raise click.UsageError(f"{', '.join(others)}: the recipe says that; leave it out here, or change the recipe")
    return recipe_from_file(file or Path(RECIPE_FILE))


def _note_preset(request: Request) -> None:
    """Say so when it is the bundled sample that will be served."""
    from tbgen.generator.presets import PRESETS

    if request.source is None and request.name in PRESETS:
        about = PRESETS[request.name].about
        notes().print(f"No --source: serving the bundled sample, {about}. Yours: --source DIR", style="yellow")


def note_device(asked: str | None, chosen: Request) -> None:
    """Say what was found here for --device auto, and what it serves."""
    from tbgen.generator.graphs import AUTO

    if asked == AUTO:
        notes().print(f"--device auto: {chosen.device}, with engine {chosen.engine}", style="yellow")


def _record_of(written: Scaffolded) -> dict[str, Any]:
    """What was written, and how it was proved, as plain values."""
    return {
        "repository": written.repository,
        "engine": written.request.engine,
        "device": written.request.device,
        "models": [folder.name for folder in written.models],
        "fronts": written.fronts,
        "parity": written.exported.parity,
        "comparison": asdict(written.comparison),
        "warnings": [*_import_lines(written.models), *written.warnings],
    }


def _note_proof(written: Scaffolded) -> None:
    """What the models were held against, and what a person should know of them."""
    console = notes()
    for line in _told_lines(written.exported.made):
        console.print(line)
    if parity := written.exported.parity:
        console.print(
            f"Against {parity.get('against', 'PyTorch')} on {parity['texts']} sentences: "
            f"logits differ by at most {parity['max_abs']:.2g} "
            f"(tolerance {parity['tolerance']:g})" + (", of its twin: see below" if written.exported.made.twin else "")
        )
    else:
        file = next(iter(written.exported.made.source), written.exported.model.name)
        console.print(
            f"Nobody compared {file} with PyTorch here. This does: tbgen verify {shlex.quote(written.request.name)} -r "
            f"{shlex.quote(str(written.repository))} --source CHECKPOINT",
            style="yellow",
        )
    for front, found in written.comparison.judgements.items():
        console.print(
            f"{front} against {found.library} on {found.items} items: answers differ by at most {found.max_abs:.2g}"
            + (f", {found.flips} of {found.decisions} decisions" if found.decisions else "")
        )
    for words in filter(None, (written.comparison.why_not, written.comparison.note)):
        console.print(_sentence_case(words), style="yellow")
    for line in (*_import_lines(written.models), *written.warnings):
        console.print(line, style="yellow")


def _print_roads(written: Scaffolded, request: Request) -> None:
    """What was written, and the roads to serving it."""
    from tbgen.generator.engines.engine import BUILD

    models = [folder.name for folder in written.models]
    out = output()
    out.print(repository_tree(written.repository, models))
    if script := next((path for path in written.models if (path / BUILD).is_file()), None):
        out.print(f"Build the plan first, on the GPU machine: sh {shlex.quote(str(script / BUILD))}", soft_wrap=True)
    out.print(f"Serve it here: tbgen serve {shlex.quote(str(written.repository))}")
    out.print(
        "Put it into an existing Triton"
        + (", which keeps answers if it was started with --cache-config" if request.cache else "")
        + "; the second line loads it where the server does not poll:",
        soft_wrap=True,
    )
    for line in _drop_in_lines(written.repository, models):
        out.print(f"  {line}", soft_wrap=True)
    build = written.exported.made.tensorrt
    which = "" if build is None or build.triton else f" of the RELEASE that has TensorRT {build.version}"
    out.print(
        f"Or start one on it, in NVIDIA's container{which}, for this machine (for others: -p without 127.0.0.1):",
        soft_wrap=True,
    )
    out.print(f"  {_launch_line(written.repository, request, build)}", soft_wrap=True)


def _told_lines(made: Provenance) -> list[str]:
    """What the checkpoint was taken for, and what was done to the names of its weights."""
    taken_off = f"The weights' names lost {made.taken_off!r}, a wrapper's" if made.taken_off else ""
    return [line for line in (_sentence_case(made.chosen), taken_off) if line]


def _sentence_case(text: str) -> str:
    """With its first letter a capital."""
    return text[:1].upper() + text[1:]


def _import_lines(models: Sequence[Path]) -> list[str]:
    """What steps of one's own import beyond what a server has, by step file; the records of the models know it."""
    from tbgen.generator.repository import read_record

    needed: dict[str, tuple[list[str], list[str]]] = {}
    for model in models:
        for file, packages in (read_record(model) or {}).get("imports", {}).items():
            needed.setdefault(file, (packages, []))[1].append(model.name)
    return [
        f"{file} imports {', '.join(packages)}, to be found in the server, or vendored "
        f"({', '.join(f'{name}/1/vendor' for name in names)}), or in an execution environment "
        f"(tbgen env pack {shlex.join(names)} -p PACKAGE -r {shlex.quote(str(models[0].parent))})"
        for file, (packages, names) in needed.items()
    ]


def _drop_in_lines(repository: Path, models: list[str]) -> list[str]:
    """The two shell lines that put written models into the repository of an existing Triton and load them."""
    return [
        f"cp -r {shlex.join(str(repository / model) for model in models)} /path/to/triton/model_repository/",
        f"for model in {' '.join(models)}; do curl -fX POST localhost:{HTTP}/v2/repository/models/$model/load; done",
    ]


def _launch_line(repository: Path, request: Request, build: Build | None) -> str:
    """The shell line that starts a container on a repository, in UTF-8, with a response cache and GPUs if asked for.

    Its user is not root, its ports are this machine's alone, it only reads the models. It is the newest known
    container, or for a plan the one whose TensorRT builds it: `build` is what is known of that.
    """
    from tbgen.generator.devices import GPU
    from tbgen.generator.models.config import CACHE_ARGUMENT
    from tbgen.generator.releases import RELEASES
    from tbgen.generator.shared_memory import shared_memory_mib
    from tbgen.server.deploy.launch import ENVIRONMENT, MODELS, STOCK_IMAGE, USER
    from tbgen.server.embedded.process import STACK

    release = (build.triton or "RELEASE") if build else max(RELEASES)
    gpus = "--gpus all " if request.device == GPU else ""
    ports = " ".join(f"-p 127.0.0.1:{port}:{port}" for port in (HTTP, GRPC))
    return (
        f"docker run --rm {gpus}--user {os.getuid() or USER}:{os.getgid() or USER} "
        f"--shm-size={shared_memory_mib(repository)}m --ulimit stack={STACK} {ports} "
        f"{' '.join(f'-e {name}={value}' for name, value in ENVIRONMENT.items())} "
        f"-v {shlex.quote(f'{repository.resolve()}:{MODELS}:ro')} {STOCK_IMAGE.format(release)} "
        f"tritonserver --model-repository={MODELS}" + (f" {CACHE_ARGUMENT}" if request.cache else "")
    )
