"""`tbgen check --live` on running servers: models that answer, one that fails, one that is not there, no server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.check import check
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.triton.counting import write_counting


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server on two models that answer with 1."""
    with serving(write_counting(tmp_path / "models", 1)) as server:
        yield server


def test_a_healthy_repository_over_both_protocols(kcbert_server: EmbeddedServer) -> None:
    repository = str(kcbert_server.repository)
    for url in (f"grpc://{kcbert_server.grpc_url}", f"http://{kcbert_server.http_url}"):
        done = CliRunner().invoke(check, [repository, "--live", "--url", url, "--json"])
        assert (done.exit_code, json.loads(done.stdout)["errors"]) == (0, 0)
        assert json.loads(done.stdout)["live"] == {
            "ready": [
                *("kcbert_onnx", "kcbert_onnx_bls", "kcbert_onnx_ensemble", "kcbert_postprocess", "kcbert_tokenizer")
            ],
            "answered": ["kcbert_onnx_bls", "kcbert_onnx_ensemble", "kcbert_tokenizer"],
        }


def test_what_answers_is_shown(counting: EmbeddedServer) -> None:
    done = CliRunner().invoke(check, [str(counting.repository), "--live", "--url", counting.grpc_url])
    assert done.exit_code == 0
    assert "Ready on the server: count, count_ensemble" in done.stdout
    assert "Asked in Korean with emoji, and answered: count, count_ensemble" in done.stdout


def test_a_model_that_answers_with_infinity_and_one_that_is_not_there(tmp_path: Path) -> None:
    repository = write_counting(tmp_path / "models", "inf")
    with serving(repository) as server:
        (write_counting(tmp_path / "more", 1) / "count").rename(tmp_path / "more" / "other")
        missing = CliRunner().invoke(check, [str(tmp_path / "more"), "--live", "--url", server.grpc_url, "--json"])
        done = CliRunner().invoke(check, [str(repository), "--live", "--url", server.grpc_url, "--json"])
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert answer["live"] == {"ready": ["count", "count_ensemble"], "answered": []}
    assert [(row["model"], row["effect"]) for row in answer["findings"]] == [
        ("count", "fails"),
        ("count_ensemble", "fails"),
    ]
    assert "answered '오늘도 상한가 갔다 🔥📈' with numbers in 'number'" in answer["findings"][0]["triton"]
    assert missing.exit_code == 1
    rows = json.loads(missing.stdout)["findings"]
    assert ("other", "refused", "the server does not know the model") in [
        (row["model"], row["effect"], row["triton"]) for row in rows
    ]


def test_a_model_that_refuses_the_text(tmp_path: Path) -> None:
    repository = write_counting(tmp_path / "models", 1)
    source = repository / "count" / "1" / "model.py"
    source.write_text(
        source.read_text(encoding="utf-8").replace("self.number, np", "self.nothing, np"), encoding="utf-8"
    )
    with serving(repository) as server:
        done = CliRunner().invoke(check, [str(repository), "--live", "--url", server.grpc_url])
    assert done.exit_code == 1
    assert "count/config.pbtxt: will fail: " in done.stdout
    assert "has no attribute 'nothing'" in done.stdout
    assert "answered: none" in done.stdout


def test_no_server(tmp_path: Path) -> None:
    url = f"127.0.0.1:{free_ports(1)[0]}"
    done = CliRunner().invoke(check, [str(write_counting(tmp_path, 1)), "--live", "--url", url])
    assert done.exit_code == 1
    assert f"no Triton answers at {url} (Connection refused)" in done.stderr


def test_an_address_without_live_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(check, [str(write_counting(tmp_path, 1)), "--url", "localhost:8001"])
    assert (done.exit_code, "goes with --live; add that" in done.stderr) == (2, True)


def test_offline_nothing_of_the_server_part_is_imported(tmp_path: Path) -> None:
    write_counting(tmp_path, 1)
    code = (
        "import sys; from tbgen.cli.check import check; check(sys.argv[1:], standalone_mode=False); "
        "sys.exit(', '.join(name for name in sys.modules if name.startswith('tbgen.server')) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stderr.strip(), done.returncode) == ("", 0)
