"""`tbgen deploy`: models to where a running server finds them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.deploy_dashboards import dashboards
from tbgen.cli.deploy_haproxy import haproxy
from tbgen.cli.deployments import deployment_commands
from tbgen.cli.options import Finite, goes_without, json_option, quiet_option, repository_argument, server_options
from tbgen.cli.show import has_flag, notes, output, print_json, say_answered
from tbgen.generator.addresses import URLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tbgen.server.deploy.deploy import Change


@click.group()
def deploy() -> None:  # its help is the table's
    pass


@deploy.command()
@repository_argument
@click.argument("target")
@server_options(f"Once for each server that reads TARGET. Default: {URLS['gRPC']}.", multiple=True)
@click.option("--no-server", is_flag=True, help="Copy alone; load and ask nothing.")
@click.option(
    "--keep", type=click.IntRange(min=2), default=2, show_default=True, help="Versions to keep, the new one too."
)
@click.option("--timeout", type=Finite(min=1), default=300.0, show_default=True, help="Seconds to load a model.")
@click.option(
    "--poll-secs",
    type=Finite(min=0.1),
    default=60.0,
    show_default=True,
    help="Seconds within which a polling server notices a change (its --repository-poll-secs, and some), not counting "
    "those in which it loads other models.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@json_option
@quiet_option
@goes_without("--no-server", "--url", "--header", "--timeout", "--poll-secs")
def copy(
    repository: Path,
    target: str,
    urls: tuple[str, ...],
    headers: dict[str, str],
    no_server: bool,
    keep: int,
    timeout: float,
    poll_secs: float,
    dry_run: bool,
) -> None:
    """Copy models into a folder or bucket that a server polls or controls.

    TARGET is the repository of a running server: a folder, s3://... or gs://... Each model of REPOSITORY that changed
    gets a new version folder, shown at once by a rename (in a bucket: by the config that names it). Each server is told
    to load it, or sees it where it polls. In the end each model that takes text is asked in Korean with emoji. Whatever
    fails, the versions before are put back and loaded.
    """
    import logging

    from tbgen.server.client.connection import Connection
    from tbgen.server.deploy.deploy import deploy as carry_out
    from tbgen.server.deploy.deploy import deployment_plan, locks, served_from_elsewhere
    from tbgen.server.deploy.live import Live
    from tbgen.server.deploy.stores import bucket_errors, store_from

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # what it logs, warnings and tracebacks, is raised too
    asked: list[str] = []
    with bucket_errors(target), ExitStack() as stack:
        lives = []
        for url in () if no_server else urls or (None,):
            connection = stack.enter_context(Connection(url, seconds=timeout, headers=headers))
            lives.append(Live(connection, seconds=timeout, notice=min(timeout, poll_secs)))
        for each in locks(repository, target, store := store_from(target)):
            stack.enter_context(each)
        changes = deployment_plan(repository, store, lives)
        plan = [_plan_row(change) for change in changes]
        if not has_flag("json"):
            output().print(_plan_table(plan))
        for live in lives:
            if elsewhere := ", ".join(served_from_elsewhere(changes, live)):
                said = f"serves {elsewhere}, which {target} does not hold: is {target} what it reads?"
                notes().print(f"The server at {live.connection.address} {said}", style="yellow")
        if not dry_run:
            tell = (lambda _: None) if has_flag("quiet") else notes().print
            asked = carry_out(changes, store, lives, keep=keep, on_progress=tell)
    if has_flag("json"):
        print_json({"models": plan, "dry_run": dry_run, "asked": asked})
    elif lives and not dry_run:
        say_answered(asked)


def _plan_row(change: Change) -> dict[str, Any]:
    """A model: the version that is there, the one that comes, what becomes of the shared config."""
    return {
        "model": change.release.name,
        "newest_there": change.standing.versions[-1] if change.standing.versions else None,
        "new_version": change.version,
        "config": "changes" if change.new_config else "new" if change.standing.config is None else "stays",
    }


def _plan_table(plan: Sequence[dict[str, Any]]) -> Table:
    """One row a model."""
    from rich.table import Table

    table = Table("model", "newest there", "new version", "config.pbtxt")
    for row in plan:
        there, comes = row["newest_there"] or "none", row["new_version"] or "stays"
        table.add_row(row["model"], str(there), str(comes), row["config"])
    return table


for _each in (dashboards, haproxy, *deployment_commands()):
    deploy.add_command(_each)
