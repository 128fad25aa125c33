"""`tbgen client`: a client for a model of a repository, written in the language of your choice."""

from __future__ import annotations

from pathlib import Path

import click

from tbgen.cli.options import FILE_PATH, goes_with, repository_option, url_option
from tbgen.cli.show import print_file
from tbgen.generator.client_code import LANGUAGES


@click.command()
@click.argument("name")
@click.option("--lang", "language", type=click.Choice(list(LANGUAGES)), default="python", show_default=True)
@repository_option()
@click.option("-o", "--output", type=FILE_PATH, help="File to write; else it is printed.")
@url_option("HOST:PORT and PORT mean what the client speaks: HTTP, or gRPC. Default: this machine's.")
@click.option("--force", is_flag=True, help="With --output: replace the file.")
@goes_with("--output", "--force")
def client(name: str, language: str, repository: Path, output: Path | None, url: str | None, force: bool) -> None:
    """It knows inputs and outputs of the model NAME from its config.pbtxt, and its --url takes what this one does."""
    from tbgen.export.errors import UserError
    from tbgen.export.files import write_whole
    from tbgen.generator.client_code import client_code, client_protocol
    from tbgen.generator.local.models import LocalModels
    from tbgen.server.client.address import address_from_url
    from tbgen.server.client.client import front_model

    speaks = client_protocol(language)
    address = url and str(address_from_url(url, protocol=speaks.lower()))
    if address and not address.startswith(speaks.lower()):
        raise UserError(f"the {language} client speaks {speaks}: write --url {speaks.lower()}://HOST:PORT, not {url}")
    with LocalModels(repository) as models:
        code = client_code(models.message(front_model(models, name)), language, url=address)
    if output is None:
        print_file(code)
        return
    if output.exists() and not force:
        raise UserError(f"{output} exists; --force replaces it")
    write_whole(output, code.encode("utf-8"), runnable=language == "curl")
