"""`tbgen bench` against a real Triton: right figures for right answers, and every wrong one counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer

from tbgen.cli.bench import bench as command
from tbgen.export.errors import UserError
from tbgen.server.bench.page import page_from_report
from tbgen.server.bench.point import Load, Timing
from tbgen.server.bench.report import json_from_report, wrong_sentences
from tbgen.server.bench.sweep import Plan, Report, bench
from tbgen.server.bench.texts import Corpus, corpus_from_file
from tbgen.server.client.address import Address
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.triton.browser import looked_at

QUICK = Timing(seconds=0.5, warmup=0.2, timeout=10.0)
FRONTS = ["kcbert_onnx_ensemble", "kcbert_onnx_bls"]
LOADS = [Load("http", 1), Load("http", 16), Load("grpc", 4), Load("http", 0, 40.0), Load("grpc", 0, 40.0, poisson=True)]

# Answers its text, after as many milliseconds as the text says; "drift" is answered differently each time.
MOODY = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.count = 0

    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(r, "input_text").as_numpy()) for r in requests]

    def answer(self, text):
        word, _, milliseconds = text.item().decode("utf-8").partition(" ")
        time.sleep(int(milliseconds or 0) / 1000)
        self.count += 1
        if word == "refuse" or (word == "fail" and self.count > 20):
            raise_ = pb_utils.TritonError(f"no {word}", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=raise_)
        said = f"{word}{self.count if word == 'drift' else ''}"
        return pb_utils.InferenceResponse([pb_utils.Tensor("said", np.array([[said.encode()]], dtype=object))])
"""
MOODY_CONFIG = """
backend: "python" max_batch_size: 1 instance_group { kind: KIND_CPU count: 1 }
input { name: "input_text" data_type: TYPE_STRING dims: 1 }
output { name: "said" data_type: TYPE_STRING dims: 1 }
"""


def addresses(server: EmbeddedServer) -> list[Address]:
    return [Address(server.http_url, "http"), Address(server.grpc_url, "grpc")]


@pytest.fixture(scope="module")
def report(kcbert_server: EmbeddedServer) -> Report:
    plan = Plan(LOADS, QUICK, requests=32)
    repository, metrics = kcbert_server.repository, kcbert_server.metrics_url
    return bench(FRONTS, addresses(kcbert_server), corpus_from_file(), plan, repository=repository, metrics=metrics)


@pytest.fixture(scope="module")
def moody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with one model whose answers and times the texts decide."""
    repository = tmp_path_factory.mktemp("moody")
    (repository / "moody" / "1").mkdir(parents=True)
    (repository / "moody" / "1" / "model.py").write_text(MOODY, encoding="utf-8")
    (repository / "moody" / "config.pbtxt").write_text(MOODY_CONFIG, encoding="utf-8")
    with serving(repository) as server:
        yield server


def test_a_scaffolds_name_means_all_its_graphs_and_fits_a_narrow_terminal(
    kcbert_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    quick = ["--duration", "0.4", "--warmup", "0.1", "--rounds", "2", "--requests", "16", "--concurrency", "1,16"]
    words = ["kcbert", "--url", kcbert_server.http_url, "-r", str(kcbert_server.repository), *quick]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    assert all(f"{front} over http" in done.stdout for front in FRONTS)
    assert "each at its own length" in " ".join(done.stdout.split())
    assert "…" not in done.stdout


def moody_report(server: EmbeddedServer, texts: list[str], load: Load, timing: Timing = QUICK) -> Report:
    plan = Plan([load], timing, requests=len(texts))
    return bench(["moody"], addresses(server), Corpus("words", {}, texts), plan)


def test_all_answers_are_right_and_counted(report: Report) -> None:
    assert [sentence for point in report.points for sentence in wrong_sentences(point)] == []
    assert len(report.points) == len(FRONTS) * len(LOADS)
    for point in report.points:
        assert point.answers > 0
        assert point.latency["p50"] <= point.latency["max"]
        assert point.cpu.generator < 1


def test_an_open_loop_keeps_its_rate(report: Report) -> None:
    for point in report.points:
        if point.load.rate and not point.load.poisson:
            assert point.answers == 20
            assert point.late["p50"] >= 0


def test_the_stages_are_those_of_the_graph(report: Report) -> None:
    ensemble, bls = (next(p for p in report.points if p.model == front and p.load.clients == 16) for front in FRONTS)
    assert ensemble.split is not None
    assert set(ensemble.split.stages) == {"queue", "tokenise", "engine", "post", "transfers", "wire"}
    assert [(part.model, part.role) for part in ensemble.models] == [
        ("kcbert_onnx_ensemble", "ensemble"),
        ("kcbert_tokenizer", "tokenise"),
        ("kcbert_onnx", "engine"),
        ("kcbert_postprocess", "post"),
    ]
    assert bls.split is not None
    assert {"queue", "tokenise", "engine", "post", "steps"} <= set(bls.split.stages)
    assert [part.model for part in bls.models] == ["kcbert_onnx_bls", "kcbert_onnx"]
    assert bls.models[0].average_batch > 1


def test_the_stages_add_up_to_what_the_clients_saw(report: Report) -> None:
    for point in report.points:
        assert point.split is not None
        if point.load.rate is None:
            assert sum(point.split.stages.values()) == pytest.approx(point.latency["mean"], rel=0.5)


def test_lengths_and_padding_are_the_tokenizers(report: Report, kcbert_server: EmbeddedServer) -> None:
    lengths = report.texts[0].lengths
    assert lengths is not None
    file = Tokenizer.from_file(str(kcbert_server.repository / "kcbert_tokenizer" / "1" / "tokenizer.json"))
    drawn = {len(file.encode(text)) for text in corpus_from_file().texts}
    assert set(lengths.tokens.tolist()) <= drawn
    assert lengths.truncated == 0
    assert lengths.padded.tolist() == lengths.tokens.tolist()
    ensemble, bls = (next(point for point in report.points if point.model == front) for front in FRONTS)
    assert ensemble.padding is not None
    assert ensemble.padding.exact
    assert ensemble.padding.waste == 0
    assert bls.padding is not None
    assert bls.padding.exact
    assert bls.padding.waste == 0


def test_long_texts_are_said_to_be_cut(kcbert_server: EmbeddedServer) -> None:
    corpus = Corpus("long", {}, ["상한가 " * 400, "좋다"])
    plan = Plan([Load("http", 1)], QUICK, requests=2)
    long = bench(["kcbert_onnx_ensemble"], addresses(kcbert_server), corpus, plan, repository=kcbert_server.repository)
    assert long.texts[0].lengths is not None
    assert long.texts[0].lengths.truncated == 1
    assert any("1 of 2 texts were cut to 300 tokens" in sentence for sentence in json_from_report(long)["remarks"])


def test_without_the_repository_padding_is_unknown_and_callees_are_those_that_moved(
    kcbert_server: EmbeddedServer,
) -> None:
    plan = Plan([Load("grpc", 2)], QUICK, requests=8, batch=3)
    (point,) = bench(["kcbert_onnx_bls"], [Address(kcbert_server.grpc_url, "grpc")], corpus_from_file(), plan).points
    assert point.padding is None
    assert [part.model for part in point.models] == ["kcbert_onnx_bls", "kcbert_onnx"]
    assert point.texts_per_s * QUICK.seconds == pytest.approx(point.answers * 3)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_changed_and_failed_answers_are_counted_and_not_timed(moody: EmbeddedServer, protocol: str) -> None:
    (point,) = moody_report(moody, ["fine", "drift"], Load(protocol, 1)).points
    assert sum(point.changed.values()) > 0
    assert point.answers > 0
    assert "instead of drift" in next(iter(point.changed))
    assert point.foreign == 0
    (point,) = moody_report(moody, ["fine"], Load(protocol, 1)).points
    assert not point.changed


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_refused_texts_are_left_out_and_shown(moody: EmbeddedServer, protocol: str) -> None:
    found = moody_report(moody, ["fine", "refuse"], Load(protocol, 1))
    assert list(found.texts[0].refused.values()) == [1]
    assert found.wrong == 1
    assert not found.points[0].failed
    with pytest.raises(UserError, match="no refuse"):
        moody_report(moody, ["refuse"], Load(protocol, 1))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_open_loop_counts_the_wait_behind_a_slow_answer(moody: EmbeddedServer, protocol: str) -> None:
    """40 a second and one in 20 takes 400 ms: half of them wait behind it, though none was sent late."""
    texts = ["slow 400", *(f"quick{number} 0" for number in range(19))]
    (point,) = moody_report(moody, texts, Load(protocol, 0, 40.0), Timing(2.0, 0.2, 10.0)).points
    assert point.latency["max"] > 400
    assert point.latency["p90"] > 200
    assert point.answers == 80


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_requests_that_are_never_answered_are_failures(moody: EmbeddedServer, protocol: str) -> None:
    """20 a second, 200 ms each: most are still out when their time is over."""
    (point,) = moody_report(moody, ["slow 200"], Load(protocol, 0, 20.0), Timing(1.0, 0.2, 0.5)).points
    assert sum(point.failed.values()) > 8
    assert all("no answer within 0.5 s" in sentence or "DEADLINE" in sentence for sentence in point.failed)


def test_a_report_can_be_read_by_machines(report: Report) -> None:
    read = json.loads(json.dumps(json_from_report(report)))
    assert [point["loop"] for point in read["points"][:5]] == ["closed", "closed", "closed", "open", "open"]
    assert read["points"][0]["latency"]["p50"] > 0
    assert sum(read["texts"][0]["tokens"]["histogram"]["texts"]) == 32


def test_the_page_is_whole_and_fits_desktop_and_phone_in_both_schemes(report: Report, tmp_path: Path) -> None:
    page = page_from_report(report)
    assert "http://" not in page
    assert "https://" not in page
    desktop, phone = looked_at(page, tmp_path, widths=(1200, 360))
    for seen in (desktop, phone):
        assert seen["overflow"] <= 0
        assert seen["loaded"] == 0
        assert seen["plots"] == [
            "Throughput against latency",
            "Texts by their number of tokens",
            "Where the time of an average request goes",
        ]
        assert seen["outside"] == []
        assert seen["smallest_text"] >= 10
    assert desktop["plots_beside"]
    assert not phone["plots_beside"]
    (dark,) = looked_at(page, tmp_path, widths=(1200,), dark=True)
    assert np.mean(dark["ground"]) < 60 < 200 < np.mean(desktop["ground"])


def test_the_command_measures_a_running_triton(kcbert_server: EmbeddedServer, tmp_path: Path) -> None:
    page = tmp_path / "bench.html"
    done = CliRunner().invoke(
        command,
        [
            "kcbert_onnx_ensemble",
            *("--url", kcbert_server.http_url, "-r", str(kcbert_server.repository), "--html", str(page)),
            *("--concurrency", "2", "--duration", "0.5", "--warmup", "0.1", "--requests", "8"),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "2 clients" in done.output
    assert "equal those of the same texts asked alone" in done.output
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_command_starts_a_triton_of_its_own(kcbert_server: EmbeddedServer, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("떡상 가즈아 🔥\n물렸다\n", encoding="utf-8")
    done = CliRunner().invoke(
        command,
        [
            "kcbert_onnx_bls",
            *("-r", str(kcbert_server.repository), "--text", str(file), "--json"),
            *("--rate", "20", "--duration", "0.5", "--warmup", "0.1", "--requests", "2"),
        ],
    )
    assert done.exit_code == 0, done.output
    read = json.loads(done.stdout)
    assert [(point["rate"], point["answers"]) for point in read["points"]] == [(20.0, 10)]


def test_wrong_answers_are_the_exit_status(moody: EmbeddedServer, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("fine\ndrift\n", encoding="utf-8")
    arguments = ["moody", "--url", moody.http_url, "--text", str(file), "--requests", "2"]
    done = CliRunner().invoke(command, [*arguments, "--duration", "0.3", "--warmup", "0.1", "--concurrency", "1"])
    assert done.exit_code == 1
    assert "instead of drift" in done.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--concurrency", "1,none"], "is not a list of positive numbers"),
        (["--url", "http://localhost:1", "--url", "http://localhost:2"], "at most one address of gRPC and one of HTTP"),
        (["--url", "https://localhost:1"], "speaks HTTP without TLS"),
        (["--url", "localhost:1"], "no Triton answers at localhost:1 (Connection refused)"),
        (["-r", "nowhere"], "no model repository at 'nowhere'"),
        (["--text", "nowhere.txt"], "'nowhere.txt' cannot be read"),
    ],
)
def test_mistakes_are_said_in_one_sentence(arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(command, ["kcbert", *arguments])
    assert done.exit_code in (1, 2)
    assert sentence in done.output
    assert "Traceback" not in done.output
