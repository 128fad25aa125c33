"""`tbgen install-backends`: the code of the steps into a server's backend directory."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("install-backends", short_help="Put the code of the steps into a server's backend directory.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--vendor/--no-vendor",
    default=True,
    show_default=True,
    help="Bring the tokenizers library along, for servers without it.",
)
@click.option("--platform", help="Processor of the server, x86_64 or aarch64. Default: this machine's.")
@click.option("--force", is_flag=True, help="Replace a backend of that name that was edited, or not written by tbgen.")
def install_backends(folder: Path, vendor: bool, platform: str | None, force: bool) -> None:
    """Put the code of the steps, which `tbgen scaffold --steps backend` leaves out, into DIR: a server's backends.

    In NVIDIA's container that is /opt/tritonserver/backends. Servers that run read it when they start again.
    """
    from tbgen.export.errors import NoSuchName
    from tbgen.generator.models.shared_backend import install_backend
    from tbgen.generator.steps.vendor import PLATFORMS, this_platform

    if platform and platform not in PLATFORMS:
        raise NoSuchName("platform", platform, list(PLATFORMS))
    written = install_backend(folder, platform=(platform or this_platform()) if vendor else None, force=force)
    click.echo(f"Written: {written}. A server that runs uses it after a new start.")
