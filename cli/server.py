"""`tbgen server`: the embedded server's own files."""

from __future__ import annotations

import click

from tbgen.cli.options import json_option, quiet_option
from tbgen.cli.show import notes, report, say, status_line


@click.group()
def server() -> None:
    """For environments with numpy 2, beside which pip installs no embedded server."""


@server.command()
@json_option
@quiet_option
def install() -> None:
    """Bring the embedded server, with a numpy of its own.

    The wheel nvidia-pytriton and numpy 1.26 go into share/tbgen of this environment, 220 MB. Nothing else of it is
    changed: your packages keep numpy 2, and Triton's Python models take numpy 1. For Python 3.10 to 3.12. A second time
    it is installed anew.
    """
    from tbgen.server.embedded.install import install_server

    with status_line(notes()) as tell:
        tell("Installing the embedded server")
        folder = install_server()
    report({"folder": folder}, lambda: say(f"Installed: {folder}"))
