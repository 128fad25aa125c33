"""`tbgen update`: new models of an old scaffold that keep what people edited."""

from __future__ import annotations

from typing import Any

import click

from tbgen.cli.diff import name_options, print_update, update_record, updates
from tbgen.cli.show import WHOLE, has_flag, keep, print_json, say


@click.command()
@name_options
@click.option("--force", is_flag=True, help="Replace edited files too.")
def update(force: bool, **asked: Any) -> None:
    """NAME is the name given to scaffold; it can be left out in a folder with a recipe."""
    from tbgen.generator.update import apply

    records = []
    for written in updates(**asked):
        if not has_flag("json"):
            print_update(written, force=force)
        models = apply(written, force=force)
        keep(f"{WHOLE}; written before: {', '.join(models)}")
        records.append({**update_record(written), "written": [written.repository / model for model in models]})
        for model in () if has_flag("json") else models:
            say(f"Written: {written.repository / model}")
    if has_flag("json"):
        print_json(records)
