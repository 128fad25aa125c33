"""`tbgen deploy`: models to where a running server finds them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tbgen.cli.repository import ModelRepository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tbgen.server.deploy.deploy import Change


@click.group(short_help="Put models into the repository of a running server.")
def deploy() -> None:
    """Put models into the repository of a running server."""


@deploy.command(short_help="Copy models into a folder or bucket that a server polls or controls.")
@click.argument("repository", type=ModelRepository(file_okay=False))
@click.argument("target")
@click.option("--url", help="host:port of the Triton server. Default: localhost:8001, with --http localhost:8000.")
@click.option("--http", is_flag=True, help="Use HTTP instead of gRPC.")
@click.option("--no-server", is_flag=True, help="Copy alone; load and ask nothing.")
@click.option(
    "--keep", type=click.IntRange(min=2), default=2, show_default=True, help="Versions to keep, the new one too."
)
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=300.0, show_default=True, help="Seconds to load a model."
)
@click.option(
    "--poll-secs",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="Seconds within which a polling server notices a change (its --repository-poll-secs, and some), not counting "
    "those in which it loads other models.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
def copy(
    repository: Path,
    target: str,
    url: str | None,
    http: bool,
    no_server: bool,
    keep: int,
    timeout: float,
    poll_secs: float,
    dry_run: bool,
) -> None:
    """Put the models of REPOSITORY into TARGET, the repository of a running server: a folder, s3://... or gs://...

    Each model that changed gets a new version folder, shown at once by a rename (in a bucket: by the config that names
    it). The server is told to load it, or sees it where it polls. In the end each model that takes text is asked in
    Korean with emoji. Whatever fails, the versions before are put back and loaded.
    """
    import logging

    from rich.console import Console

    from tbgen.server.client.connection import Connection
    from tbgen.server.deploy.deploy import deploy as carry_out
    from tbgen.server.deploy.deploy import planned, served_from_elsewhere
    from tbgen.server.deploy.live import Live
    from tbgen.server.deploy.stores import failures, store_from

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # what it logs, warnings and tracebacks, is raised too
    out, progress = Console(highlight=False), Console(stderr=True, highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        stack.enter_context(failures(target))
        live = None
        if not no_server:
            connection = stack.enter_context(Connection(url, "http" if http else "grpc", seconds=timeout))
            live = Live(connection, seconds=timeout, notice=min(timeout, poll_secs))
        store = store_from(target)
        stack.enter_context(store)
        changes = planned(repository, store, live)
        out.print(plan_table(changes))
        if live and (elsewhere := served_from_elsewhere(changes, live)):
            progress.print(
                f"The server serves {', '.join(elsewhere)}, which {target} does not hold: is {target} what it reads?",
                style="yellow",
            )
        if dry_run:
            return
        asked = carry_out(changes, store, live, keep=keep, on_progress=progress.print)
    if live:
        out.print(f"Asked in Korean with emoji, and answered: {', '.join(asked) or 'no model'}")


def plan_table(changes: Sequence[Change]) -> Table:
    """One row a model: the version that is there, the one that comes, what becomes of the shared config."""
    from rich.table import Table

    table = Table("model", "newest there", "new version", "config.pbtxt")
    for change in changes:
        there = str(change.standing.versions[-1]) if change.standing.versions else "none"
        config = "changes" if change.new_config else "new" if change.standing.config is None else "stays"
        table.add_row(change.release.name, there, str(change.version or "stays"), config)
    return table
