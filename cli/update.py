"""`tbgen update`: new models of an old scaffold that keep what people edited."""

from __future__ import annotations

from typing import Any

import click

from tbgen.cli.diff import name_options, print_update, record_of, updates
from tbgen.cli.show import print_json, say, wanted


@click.command()
@name_options
@click.option("--force", is_flag=True, help="Replace edited files too.")
def update(force: bool, **asked: Any) -> None:
    """NAME is the name given to scaffold; it can be left out in a folder with a recipe."""
    from tbgen.generator.update import apply

    records = []
    for written in updates(**asked):
        if not wanted("json"):
            print_update(written, force=force)
        models = apply(written, force=force)
        records.append({**record_of(written), "written": [written.repository / model for model in models]})
        for model in () if wanted("json") else models:
            say(f"Written: {written.repository / model}")
    if wanted("json"):
        print_json(records)
