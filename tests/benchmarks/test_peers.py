"""The comparison with other servers: how answers are held together, how figures become ratios; no peer is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.load import json_request
from benchmarks.peers.__main__ import records_of
from benchmarks.peers.compare import OURS, Comparison, Load, Measured, difference, noting_failure, targets
from benchmarks.peers.contestants import WALKTHROUGH, Answer, wait_until_ready, write_walkthrough
from benchmarks.peers.install import VENV_NAMES
from benchmarks.peers.peers import PEERS
from benchmarks.record import page_of
from tbgen.generator.check.check import check_repository
from tbgen.generator.presets import SAMPLES
from tbgen.server.embedded.process import ServerProcess

EXPECTED = [Answer("긍정", 0.50), Answer("긍정", 0.60), Answer("부정", 0.70)]


def test_answers_differ_by_a_share_of_their_range() -> None:
    close = [Answer("긍정", 0.50), Answer("긍정", 0.61), Answer("부정", 0.70)]
    assert difference(close, EXPECTED, near=0.1) == pytest.approx(0.05)


@pytest.mark.parametrize("same", [0.5, 0.6, 0.7])
def test_one_score_for_all_texts_is_another_model(same: float) -> None:
    with pytest.raises(RuntimeError, match="0 of 3 labels are others"):
        difference([Answer(each.label, same) for each in EXPECTED], EXPECTED, near=0.49)


def test_another_label_is_another_model() -> None:
    with pytest.raises(RuntimeError, match="1 of 3 labels"):
        difference([*EXPECTED[:2], Answer("중립", 0.70)], EXPECTED, near=0.1)


def measured(name: str, rates: list[float], *, p99: float, p50_of_one: float) -> Measured:
    many = [Load(rate, p50=p99 / 2, p99=p99) for rate in rates]
    return Measured(name, "fp32", "as found", many=many, one=[Load(10, p50_of_one, 2 * p50_of_one)] * len(rates))


def comparison() -> Comparison:
    rows = [
        measured(OURS[0], [30, 32], p99=800, p50_of_one=40),
        measured("LitServe", [15, 20], p99=900, p50_of_one=80),
        measured("infinity", [20, 20], p99=1000, p50_of_one=60),
        Measured("MLServer", "fp32", "workers 1", failure="not installed"),
        measured(WALKTHROUGH, [3, 3], p99=6000, p50_of_one=400),
    ]
    return Comparison("base", 16, rows, bare_many=[32, 32], bare_one=[20, 20])


def test_the_targets_are_held_against_the_best_peer() -> None:
    assert [(row.what, round(row.figure, 3), row.holds) for row in targets(comparison())] == [
        ("tbgen, bls, fp32, 16 clients: sentences/s over infinity", 1.55, True),
        ("tbgen, bls, fp32, 16 clients: sentences/s over LitServe", 1.8, True),
        ("tbgen, bls, fp32, 16 clients: p99 over LitServe's", 0.889, True),
        ("tbgen, bls, 16 clients: sentences/s over the walk-through's recipe", 10.333, True),
        ("tbgen, bls, one client: p50 over the walk-through's recipe", 0.1, True),
    ]


def test_what_is_kept_of_a_comparison_has_peers_that_did_not_run() -> None:
    kept = records_of(comparison(), 2, 10, load=0.5, stolen=0.2)
    assert kept.keys() == {"peers-base-fp32"}
    record = kept["peers-base-fp32"]
    assert record.note == "16 clients; load 0.5 when it began. MLServer did not run: not installed."
    assert record.rows == tuple(targets(comparison()))
    assert page_of(record).split("\n\n")[2].splitlines()[2:6] == [
        "| tbgen, bls | as found | 0.97 (0.94 1.00) | 31.0 | 400, 800 | 0.50 | 40 |",
        "| LitServe | as found | 0.55 (0.47 0.62) | 17.5 | 450, 900 | 0.50 | 80 |",
        "| infinity | as found | 0.62 (0.62 0.62) | 20.0 | 500, 1000 | 0.50 | 60 |",
        "| MLServer | workers 1 | did not run |  |  |  |  |",
    ]


def test_a_peers_failure_is_kept_and_ours_ends_the_comparison() -> None:
    peer = Measured("MLServer", "fp32", "")
    with noting_failure(peer):
        raise RuntimeError("it does not get ready")
    assert peer.failure == "it does not get ready"
    with pytest.raises(RuntimeError, match="tbgen, bls, fp32: it does"), noting_failure(Measured(OURS[0], "fp32", "")):
        raise RuntimeError("it does not get ready")


def test_a_server_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    process = ServerProcess(command, environment={}, log=log, folder=tmp_path)
    with pytest.raises(RuntimeError, match="no such model"):
        wait_until_ready("127.0.0.1:9", "/ready", process, log)
    process.stop(1)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_has_a_venv_and_takes_korean(name: str) -> None:
    peer = PEERS[name]
    assert peer.venv in VENV_NAMES
    head, body = json_request(peer.path, peer.body("금리는 동결 🙂")).split(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert "금리는 동결 🙂" in body.decode("utf-8")
    assert json.loads(body) == peer.body("금리는 동결 🙂")


def test_triton_would_take_the_walk_throughs_repository(sample_export: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_walkthrough(models, model=sample_export / "model.onnx", checkpoint=SAMPLES / "kcbert")
    assert sorted(each.name for each in models.iterdir()) == ["kcbert_onnx", "kcbert_onnx_ensemble", "onnx_tokenizer"]
    assert [each.says for each in check_repository(models) if each.severity == "error"] == []
