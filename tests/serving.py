"""The embedded server for a test, killed at its end: a graceful stop waits for seconds, and has tests of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports


@contextmanager
def serving(
    repository: Path, *, log: Path | None = None, extra_arguments: Sequence[str] = ()
) -> Iterator[EmbeddedServer]:
    """The server on a repository, all its models READY."""
    server = server_on_free_ports(repository, log=log, extra_arguments=extra_arguments)
    try:
        server.start()
        yield server
    finally:
        server.stop(seconds=0)
