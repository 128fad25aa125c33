"""`tbgen client`: a client for a model of a repository, written in the language of your choice."""

from __future__ import annotations

from pathlib import Path

import click

from tbgen.cli.repository import ModelRepository
from tbgen.generator.client_code import LANGUAGES, URL


@click.command(short_help="Write a client for a model, in the language of your choice.")
@click.argument("name")
@click.option("--lang", "language", type=click.Choice(list(LANGUAGES)), default="python", show_default=True)
@click.option("-r", "--repository", type=ModelRepository(), default=Path("model_repository"), show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; else it is printed."
)
@click.option("--url", default=URL, show_default=True, help="host:port of the server over HTTP that the client asks.")
@click.option("--force", is_flag=True, help="Replace the file.")
def client(name: str, language: str, repository: Path, output: Path | None, url: str, force: bool) -> None:
    """Write a client for the model NAME: its inputs and outputs, as its config.pbtxt says."""
    from tbgen.export.errors import UserError
    from tbgen.generator.client_code import client_code
    from tbgen.generator.local.models import LocalModels
    from tbgen.server.client.client import front_model

    with LocalModels(repository) as models:
        code = client_code(models.message(front_model(models, name)), language, url=url)
    if output is None:
        click.echo(code, nl=False)
        return
    if output.exists() and not force:
        raise UserError(f"{output} exists; --force replaces it")
    output.write_text(code, encoding="utf-8")
    output.chmod(0o755 if language == "curl" else 0o644)
