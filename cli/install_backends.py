"""`tbgen install-backends`: the code of the steps into a server's backend directory."""

from __future__ import annotations

from pathlib import Path

import click

from tbgen.cli.options import FOLDER_PATH, goes_without, json_option, quiet_option
from tbgen.cli.request import platform_option
from tbgen.cli.show import report, said_late, say


@click.command("install-backends")
@click.argument("folder", metavar="DIR", type=FOLDER_PATH)
@click.option(
    "--vendor/--no-vendor",
    default=True,
    show_default=True,
    help="Bring the tokenizers library along, for servers without it.",
)
@platform_option
@click.option("--force", is_flag=True, help="Replace a backend of that name that was edited, or not written by tbgen.")
@json_option
@quiet_option
@goes_without("--no-vendor", "--platform")
def install_backends(folder: Path, vendor: bool, platform: str | None, force: bool) -> None:
    """It is the code that `tbgen scaffold --steps backend` leaves out of the models; DIR is a server's backends.

    In NVIDIA's container that is /opt/tritonserver/backends. Servers that run read it when they start again.
    """
    from tbgen.generator.models.shared_backend import install_backend
    from tbgen.generator.steps.vendor import this_platform

    with said_late(f"Bringing packages into {folder}"):
        written = install_backend(folder, platform=(platform or this_platform()) if vendor else None, force=force)
    words = f"Written: {written}. A server that runs uses it after a new start."
    report({"written": written}, lambda: say(words))
