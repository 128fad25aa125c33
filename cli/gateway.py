"""`tbgen gateway`: OpenAI's, Cohere's, Jina's, TEI's and Hugging Face's endpoints before a Triton, until Ctrl-C."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from tbgen.cli.options import (
    FILE_THERE,
    PORT,
    POSITIVE,
    host_option,
    json_option,
    repository_option,
    server_options,
    timeout_option,
)
from tbgen.cli.show import report, say
from tbgen.generator.addresses import GATEWAY
from tbgen.server.gateway.settings import GatewaySettings

_most = partial(click.option, type=POSITIVE, show_default=True)


@click.command()
@server_options()
@repository_option("none; then no request is told its tokens")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Model that is meant where a client names none; repeatable, one a task.",
)
@host_option
@click.option("--port", type=PORT, default=GATEWAY, show_default=True, help="Port to listen on.")
@click.option("--api-keys", type=FILE_THERE, help="File of keys, one a line, of which each client must have one.")
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Site whose pages may ask it in a browser, as http://localhost:3000, or * for all; repeatable.",
)
@_most("--max-body", default=GatewaySettings.body_bytes, metavar="BYTES", help="Longest body.")
@_most("--max-texts", default=GatewaySettings.texts, help="Most texts of a request.")
@_most("--max-requests", default=GatewaySettings.requests, help="Most requests at once.")
@timeout_option()
@json_option
def gateway(
    url: str | None,
    headers: dict[str, str],
    repository: Path | None,
    models: tuple[str, ...],
    host: str,
    port: int,
    api_keys: Path | None,
    origins: tuple[str, ...],
    max_body: int,
    max_texts: int,
    max_requests: int,
    timeout: float,
) -> None:
    """Stands before any Triton that serves models of tbgen's, and asks it over gRPC. The page at / shows the models,
    the one at /docs the endpoints.

    With --repository, the folder that the server's models lie in, it says how many tokens a request had: it runs the
    models' steps before the engine itself.
    """
    from tbgen.server.client.address import address_from_url
    from tbgen.server.gateway.serving import keys_from_file, run_gateway

    settings = GatewaySettings(
        address_from_url(url, protocol="grpc", headers=headers),
        repository=repository,
        models=models,
        keys=keys_from_file(api_keys) if api_keys else frozenset(),
        origins=origins,
        body_bytes=max_body,
        texts=max_texts,
        requests=max_requests,
        seconds=timeout,
    )
    run_gateway(settings, host, port, _say_address)


def _say_address(place: str) -> None:
    report({"page": place}, lambda: say(f"Gateway  {place}\nStop it: Ctrl-C"))
