"""One real Triton for all tests that only read from it: the sample checkpoint as ensemble and BLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving


@pytest.fixture(scope="session")
def kcbert_server(packed_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server on what `tbgen scaffold kcbert` writes."""
    folder = tmp_path_factory.mktemp("kcbert_server")
    scaffold(Request("kcbert", packed_export), folder / "model_repository")
    with serving(folder / "model_repository", log=folder / "triton.log") as server:
        yield server
