"""`tbgen update`: new models of an old scaffold that keep what people edited."""

from __future__ import annotations

from pathlib import Path

import click

from tbgen.cli.diff import asked, show, updates


@click.command(short_help="Write models anew; edited files are kept and shown.")
@asked
@click.option("--force", is_flag=True, help="Replace edited files too.")
def update(name: str | None, source: Path | None, recipe: Path | None, repository: Path | None, force: bool) -> None:
    """Write the models of NAME anew, as this tbgen writes them; files that were edited are kept and shown.

    NAME is the name given to scaffold; it can be left out in a folder with a recipe.
    """
    from tbgen.generator.update import apply

    for written in updates(name, source, recipe, repository):
        show(written, force=force)
        for model in apply(written, force=force):
            click.echo(f"Written: {written.repository / model}")
