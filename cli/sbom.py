"""`tbgen sbom`: what a model repository is made of, for those who must know."""

from __future__ import annotations

from pathlib import Path

import click

from tbgen.cli.options import FILE_PATH, quiet_option, repository_argument
from tbgen.cli.show import print_file, said_late, say


@click.command()
@repository_argument
@quiet_option
@click.option("-o", "--output", type=FILE_PATH, help="File outside REPOSITORY. Default: standard output.")
def sbom(repository: Path, output: Path | None) -> None:
    """CycloneDX 1.6: each model of REPOSITORY with its files' hashes, the packages that it brings with their licences
    and what is linked into them, and the checkpoint that it was made of.
    """
    from tbgen.export.errors import UserError
    from tbgen.export.files import write_whole
    from tbgen.generator.bill import bill_of_repository

    if output and output.resolve().is_relative_to(repository.resolve()):
        raise UserError(f"{str(output)!r} lies in {str(repository)!r}, whose folders a server reads; name one outside")
    with said_late(f"Reading the files of {repository}"):
        text = bill_of_repository(repository)
    if output is None:
        print_file(text)
    else:
        write_whole(output, text.encode("utf-8", "backslashreplace"))  # names of files that are no UTF-8
        say(f"Written: {output}")
