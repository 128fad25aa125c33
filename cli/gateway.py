"""`tbgen gateway`: OpenAI's, Cohere's, Jina's, TEI's and Hugging Face's endpoints before a Triton, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from tbgen.cli.options import POSITIVE, SECONDS, json_option, repository_option, server_options
from tbgen.cli.show import report, say

_PORT = click.IntRange(1, 65535)
_KEYS = click.Path(path_type=Path, dir_okay=False, exists=True)


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
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=_PORT, default=8080, show_default=True, help="Port to listen on.")
@click.option("--api-keys", type=_KEYS, help="File of keys, one a line, of which each client must have one.")
@click.option("--max-body", type=POSITIVE, default=8 << 20, show_default=True, metavar="BYTES", help="Longest body.")
@click.option("--max-texts", type=POSITIVE, default=2048, show_default=True, help="Most texts of a request.")
@click.option("--max-requests", type=POSITIVE, default=256, show_default=True, help="Most requests at once.")
@click.option("--timeout", type=SECONDS, default=60.0, show_default=True, help="Seconds to wait for an answer.")
@json_option
def gateway(
    url: str | None,
    headers: dict[str, str],
    repository: Path | None,
    models: tuple[str, ...],
    host: str,
    port: int,
    api_keys: Path | None,
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
    from tbgen.server.gateway.settings import GatewaySettings

    settings = GatewaySettings(
        address_from_url(url, protocol="grpc", headers=headers),
        repository=repository,
        models=models,
        keys=keys_from_file(api_keys) if api_keys else frozenset(),
        body_bytes=max_body,
        texts=max_texts,
        requests=max_requests,
        seconds=timeout,
    )
    run_gateway(settings, host, port, _say_address)


def _say_address(place: str) -> None:
    report({"page": place}, lambda: say(f"Gateway  {place}\nStop it: Ctrl-C"))
