"""`tbgen capacity` on a real Triton: what it measures, what it says of it, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.server.bench.texts import corpus_from_file
from tbgen.server.capacity.measurement import ReplicaBench
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving

GOAL = ["--rate", "1", "--p99", "60s"]


def test_a_server_is_started_measured_and_held_against_open_loops(sample_repository: Path) -> None:
    words = ["capacity", "kcbert_onnx_bls", "-r", str(sample_repository), *GOAL, "--duration", "0.1"]
    done = CliRunner().invoke(main, [*words, "--check", "--price", "3.6", "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    replica = found["replica"]
    assert (found["model"], replica["runner"]) == ("kcbert_onnx_bls", "kcbert_onnx_bls")
    assert (replica["instances"], replica["one_shape"]) == (1, False)
    assert replica["most"] - 1 < max(run["requests"] for run in found["runs"]) <= replica["most"] <= 24
    assert replica["cores"] > 0
    assert replica["memory"] > 1e7
    assert found["texts"]["unit"] == "tokens"
    assert [run["requests"] for run in found["runs"]][:3] == [1] * 3
    assert found["runs"][0]["tokens"] < found["runs"][1]["tokens"] < found["runs"][2]["tokens"]
    for fleet in found["fleets"]:
        assert fleet["expected"]["p99"] <= 60
        assert fleet["most"] >= 1
        assert fleet["cost_of_million"] == pytest.approx(fleet["replicas"] * 1000)
    assert [fleet["split"] for fleet in found["fleets"]] == ["least", "least", "random", "random"]
    low, high = found["checks"]
    assert low["rate"] / 0.4 == pytest.approx(high["rate"] / 0.75) == pytest.approx(replica["capacity"])
    for check in found["checks"]:
        assert check["answers"] > 0
        assert 0 < check["spread"][0] <= check["spread"][1]


def test_a_server_elsewhere_may_know_characters_alone(kcbert_server: EmbeddedServer) -> None:
    with Connection(f"grpc://{kcbert_server.grpc_url}") as connection:
        bench = ReplicaBench(connection, "kcbert_onnx_ensemble", corpus_from_file(), 0.1, None, lambda *_: None)
        assert (bench.unit, bench.runner.model) == ("characters", "kcbert_onnx")
        assert [bench.alike(share).tolist() for share in (0, 1)] == [
            bench.order[:8].tolist(),
            bench.order[-8:].tolist(),
        ]


def test_a_cache_is_no_measure_of_new_texts(sample_repository: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    repository.mkdir()
    for model in sample_repository.iterdir():
        (repository / model.name).symlink_to(model)
    (repository / "kcbert_onnx_ensemble").unlink()
    copied = repository / "kcbert_onnx_ensemble"
    (copied / "1").mkdir(parents=True)
    config = (sample_repository / copied.name / "config.pbtxt").read_text(encoding="utf-8")
    (copied / "config.pbtxt").write_text(f"{config}response_cache {{ enable: true }}", encoding="utf-8")
    with (
        serving(repository, extra_arguments=["--cache-config=local,size=1048576"]) as server,
        Connection(f"http://{server.http_url}") as connection,
    ):
        bench = ReplicaBench(connection, copied.name, corpus_from_file(), 0.3, None, lambda *_: None)
        with pytest.raises(UserError, match="answers from its response cache what it was asked before"):
            bench.met(1, bench.order)
