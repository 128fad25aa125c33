"""`tbgen deploy haproxy`: the load balancer before several servers."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tbgen.cli.deployments import folder_options, report_written
from tbgen.cli.options import json_option, repository_argument
from tbgen.generator.addresses import GRPC, HTTP


@click.command()
@repository_argument
@click.option(
    "--server",
    "servers",
    metavar="HOST[:PORT:PORT]",
    multiple=True,
    required=True,
    help=f"A server, with its ports of HTTP and gRPC, by default {HTTP} and {GRPC}; repeatable.",
)
@folder_options("haproxy")
@json_option
def haproxy(repository: Path, servers: tuple[str, ...], output: Path, force: bool) -> None:
    """Write HAProxy's configuration for several servers of REPOSITORY.

    Requests to the models that clients ask go to the server with the fewest; which lives, it asks by a text. What could
    end Triton, and all other APIs, stop there. Written again with other servers, it keeps what you edited.
    """
    from tbgen.server.deploy.files import write_files
    from tbgen.server.deploy.haproxy.files import HAPROXY_CONFIG, haproxy_files

    written = write_files(output, "haproxy", haproxy_files(repository, servers), force=force)
    report_written(output, written, shlex.join(["haproxy", "-W", "-f", str(output / HAPROXY_CONFIG)]), force=force)
