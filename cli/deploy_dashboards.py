"""`tbgen deploy dashboards`: what watches servers."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tbgen.cli.deployments import folder_options, report_written
from tbgen.cli.options import json_option, repository_option
from tbgen.generator.addresses import METRICS
from tbgen.generator.request import REPOSITORY


@click.command()
@click.option(
    "--server",
    "servers",
    metavar="HOST[:PORT]",
    multiple=True,
    default=("localhost",),
    show_default=True,
    help=f"A server, with the port of its metrics, by default {METRICS}; repeatable.",
)
@repository_option("model_repository, where it is")
@folder_options("dashboards")
@json_option
def dashboards(servers: tuple[str, ...], repository: Path | None, output: Path, force: bool) -> None:
    """Write a dashboard for Grafana, and rules and a configuration for Prometheus.

    They show what Triton and tbgen's models count, and alert on what waits, fails, is cut short, or drifts. The
    repository tells ensembles, whose failures are counted at their models; without it names that end with _ensemble do.
    Written again with other servers, they keep what you edited.
    """
    from tbgen.generator.repository import has_models
    from tbgen.server.deploy.dashboards.files import DASHBOARD, SCRAPE, dashboard_files
    from tbgen.server.deploy.files import write_files

    default = Path(REPOSITORY)
    files = dashboard_files(servers, repository or (default if has_models(default) else None))
    written = write_files(output, "dashboards", files, force=force)
    more = f" Grafana imports {output / DASHBOARD}."
    start = f"prometheus --config.file={shlex.quote(str(output / SCRAPE))}"
    report_written(output, written, start, force=force, more=more)
