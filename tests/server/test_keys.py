"""Which key a request gets: that of the server of this user at its address."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tbgen.server.embedded.keys import headers, headers_of, write_key
from tbgen.server.embedded.leftovers import PREFIX


@pytest.mark.parametrize(
    ("its_place", "asked", "known"),
    [
        ("127.0.0.1:8001", "localhost:8001", True),
        ("127.0.0.1:8001", "[::1]:8001", True),
        ("0.0.0.0:8001", "localhost:8001", True),
        ("127.0.0.1:8001", "0.0.0.0:8001", True),
        ("[::]:8001", "127.0.0.1:8001", True),
        ("10.0.0.7:8001", "10.0.0.7:8001", True),
        ("10.0.0.7:8001", "localhost:8001", False),  # another server may have the port there
        ("127.0.0.1:8001", "10.0.0.7:8001", False),
        ("127.0.0.1:8001", "localhost:8002", False),
    ],
)
def test_a_key_goes_to_its_own_server_alone(
    its_place: str, asked: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"{PREFIX}x").mkdir()
    write_key(tmp_path / f"{PREFIX}x", "secret", {"grpc": its_place})
    assert headers_of(asked, "grpc") == (headers("secret", "grpc") if known else {})
