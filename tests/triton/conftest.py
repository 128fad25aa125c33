"""One real Triton for all tests that only read from it: the sample checkpoint as ensemble and BLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded import EmbeddedServer
from tbgen.server.ports import free_ports


@pytest.fixture(scope="session")
def kcbert_server(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server on what `tbgen scaffold kcbert` writes."""
    folder = tmp_path_factory.mktemp("kcbert_server")
    scaffold(Request("kcbert", sample_export), folder / "model_repository")
    http, grpc, metrics = free_ports(3)
    with EmbeddedServer(
        folder / "model_repository", http_port=http, grpc_port=grpc, metrics_port=metrics, log=folder / "triton.log"
    ) as server:
        yield server
