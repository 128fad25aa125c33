"""`tbgen deploy dashboards`: what watches servers."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tbgen.cli.deployments import folder_options, report_written
from tbgen.cli.options import json_option
from tbgen.generator.addresses import METRICS


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
@folder_options("dashboards")
@json_option
def dashboards(servers: tuple[str, ...], output: Path, force: bool) -> None:
    """Write a dashboard for Grafana, and rules and a configuration for Prometheus.

    They show what Triton and tbgen's models count, and alert on what waits, fails, is cut short, or drifts.
    Written again with other servers, they keep what you edited.
    """
    from tbgen.server.deploy.dashboards.files import DASHBOARD, SCRAPE, dashboard_files
    from tbgen.server.deploy.files import write_files

    written = write_files(output, "dashboards", dashboard_files(servers), force=force)
    more = f" Grafana imports {output / DASHBOARD}."
    start = f"prometheus --config.file={shlex.quote(str(output / SCRAPE))}"
    report_written(output, written, start, force=force, more=more)
