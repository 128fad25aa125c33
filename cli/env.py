"""`tbgen env`: packages that a model's steps need, brought along."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tbgen.cli.options import FILE_THERE, FOLDER_PATH, goes_without, json_option, quiet_option, repository_option
from tbgen.cli.request import platform_option
from tbgen.cli.show import WHOLE, keep, notes, report, say, status_line


@click.group()
def env() -> None:
    """For servers on which nothing can be installed."""


@env.command()
@click.argument("models", nargs=-1, required=True)
@click.option("-p", "--package", "packages", multiple=True, help="A package, as pip names it; repeatable.")
@click.option("--requirements", type=FILE_THERE, help="File of packages.")
@click.option("--archive", type=FILE_THERE, help="One that is there already.")
@click.option(
    "--conda",
    type=FOLDER_PATH,
    is_flag=False,
    flag_value=Path(),
    metavar="[DIR]",
    help="A conda environment, packed whole; without DIR the active one.",
)
@click.option("--triton", help="Release of the server, such as 24.12. Default: the embedded server with this Python.")
@platform_option
@repository_option()
@json_option
@quiet_option
@goes_without("--archive", "--triton")
def pack(
    models: tuple[str, ...],
    packages: tuple[str, ...],
    requirements: Path | None,
    archive: Path | None,
    conda: Path | None,
    triton: str | None,
    platform: str | None,
    repository: Path,
) -> None:
    """Put packages into an archive that Triton unpacks for a model.

    The packages and numpy are in env.tar.gz beside the config of each of MODELS, and Triton runs it there. Wheels for
    the Python of the server's release are unpacked, nothing is built. With --conda a conda environment is packed by
    conda-pack instead, its Python and all; --archive takes an archive that was packed elsewhere.
    """
    from tbgen.export.scratch import scratch
    from tbgen.generator.releases import release_named
    from tbgen.generator.steps import environment
    from tbgen.generator.steps.conda import pack_conda
    from tbgen.generator.steps.vendor import this_platform

    wanted = [*packages, *(_listed(requirements) if requirements else [])]
    if sum(map(bool, (wanted, archive, conda))) != 1:
        raise click.UsageError("name packages with -p or --requirements, or --conda, or an --archive: one of them")
    if platform and not wanted:
        raise click.UsageError("--platform goes with packages; an environment is for the machine that it is on")
    python = release_named(triton).python if triton else sys.version_info[:2]
    for model in models:
        environment.python_config_of(repository / model)
    with scratch() as folder, status_line(notes()) as tell:
        if conda:
            archive = folder / environment.ARCHIVE
            prefix = _active_prefix() if conda == Path() else conda
            tell(f"Packing {prefix} for Python {python[0]}.{python[1]}")
            pack_conda(prefix, archive, python=python)
        elif archive is None:
            archive = folder / environment.ARCHIVE
            tell(f"Packing {', '.join(wanted)} for Python {python[0]}.{python[1]}")
            every = wanted if triton else [*wanted, environment.ARRAYS]
            environment.pack_environment(archive, every, python=python, platform=platform or this_platform())
        for model in models:
            environment.bring_environment(repository / model, archive)
            keep(f"{WHOLE}; written before: {', '.join(models[: models.index(model) + 1])}")
        size = archive.stat().st_size
    written = [repository / model / environment.ARCHIVE for model in models]
    lines = [f"Written: {path} ({size / 1e6:.0f} MB), named in its config" for path in written]
    report({"written": written, "bytes": size}, lambda: say("\n".join(lines)))


def _active_prefix() -> Path:
    """The folder of the active conda environment. Raises UserError."""
    import os

    from tbgen.export.errors import UserError

    if not os.environ.get("CONDA_PREFIX"):
        raise UserError("no conda environment is active (CONDA_PREFIX is not set); name its folder: --conda DIR")
    return Path(os.environ["CONDA_PREFIX"])


def _listed(requirements: Path) -> list[str]:
    """The packages of a requirements file, one a line."""
    from tbgen.export.reading import text_from_file

    lines = text_from_file(requirements).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
