"""One Python model with all steps and the engine in its own process, on the real server, beside the BLS model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.generator.check.check import check_repository
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.bench.parts import front_from_server
from tbgen.server.client.client import infer
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.tune.knobs import KNOBS, Draft
from tests.serving import serving
from tests.texts import HARD_TEXTS

SINGLE = "kcbert_onnx_single"


@pytest.fixture(scope="module")
def single_server(packed_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("single")
    scaffold(Request("kcbert", packed_export, graph="single"), folder / "model_repository")
    with serving(folder / "model_repository", log=folder / "triton.log") as server:
        yield server


def test_it_is_one_model_and_check_has_nothing_to_say(single_server: EmbeddedServer) -> None:
    assert [folder.name for folder in single_server.repository.iterdir() if folder.is_dir()] == [SINGLE]
    assert check_repository(single_server.repository) == []


def test_the_answers_are_those_of_the_bls_model_bit_for_bit(
    single_server: EmbeddedServer, kcbert_server: EmbeddedServer, held_out: list[str]
) -> None:
    texts = [*HARD_TEXTS, *held_out[:64]]
    assert infer(SINGLE, texts, url=single_server.grpc_url) == infer(
        "kcbert_onnx_bls", texts, url=kcbert_server.grpc_url
    )


def test_it_is_found_by_the_scaffolds_name_and_one_text_is_answered_as_among_others(
    single_server: EmbeddedServer,
) -> None:
    together = infer("kcbert", HARD_TEXTS, url=single_server.grpc_url)
    assert together == [infer("kcbert", [text], url=single_server.grpc_url)[0] for text in HARD_TEXTS]


def test_verify_holds_it_against_pytorch(single_server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("오늘도 상한가 갔다\nSell.\n", encoding="utf-8")
    asked = ["verify", "kcbert", "-r", str(single_server.repository), "--url", single_server.grpc_url, "--json"]
    done = CliRunner().invoke(main, [*asked, "--text", str(tmp_path / "texts.txt")])
    rows = json.loads(done.stdout)
    assert [row["road"] for row in rows] == ["kcbert_onnx (file)", SINGLE]
    assert done.exit_code == 0
    assert all(row["holds"] and row["parity"]["max_abs"] < 1e-4 for row in rows)


def test_bench_sees_the_engines_time_in_the_model(single_server: EmbeddedServer) -> None:
    asked = [
        "bench",
        SINGLE,
        "-r",
        str(single_server.repository),
        "--url",
        single_server.http_url,
        "--concurrency",
        "2",
    ]
    done = CliRunner().invoke(main, [*asked, "--metrics-url", single_server.metrics_url, "--duration", "2", "--json"])
    (point,) = json.loads(done.stdout)["points"]
    assert point["stages"]["engine"] > 0
    assert point["stages"]["tokenise"] > 0


def test_tune_shares_the_cores_among_instances(single_server: EmbeddedServer) -> None:
    with Connection(single_server.grpc_url) as connection:
        front = front_from_server(connection, SINGLE, single_server.repository)
    draft = Draft(single_server.repository, front, cores=4)
    knob = KNOBS["instances x threads"]
    assert (knob.now(draft), knob.values(draft)) == ((1, 0), [(1, 4), (2, 2), (4, 1)])
    knob.turn(draft, (4, 1))
    assert knob.now(draft) == (4, 1)
    assert {path.name for path in draft.edits()} == {"config.pbtxt", "steps.json"}


def test_it_stands_beside_the_graphs_of_the_same_name(packed_export: Path, tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    scaffold(Request("kcbert", packed_export), repository)
    written = scaffold(Request("kcbert", packed_export, graph="single"), repository)
    assert written.warnings == ()
    assert check_repository(repository) == []


def test_long_texts_are_read_in_windows_as_by_the_bls_model(packed_export: Path, tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    for graph in ("bls", "single"):
        scaffold(Request("kcbert", packed_export, graph=graph, long_text="windows"), repository)
    with serving(repository, log=tmp_path / "triton.log") as server:
        bls, single = (infer(f"kcbert_onnx_{graph}", HARD_TEXTS, url=server.grpc_url) for graph in ("bls", "single"))
    assert single == bls


def test_what_is_built_later_is_refused(sample_export: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--graph single runs a ready file in the Python model's own process"):
        scaffold(Request("kcbert", sample_export, engine="onnx_trt", graph="single"), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_without_onnx_runtime_the_server_says_what_to_do(single_server: EmbeddedServer, tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    shutil.copytree(single_server.repository, repository)
    vendor = repository / SINGLE / "1" / "vendor"
    assert vendor.is_dir()
    engine = repository / SINGLE / "1" / "local_engine.py"
    missing = engine.read_text(encoding="utf-8").replace("import onnxruntime\n", "import onnxruntime_missing\n")
    engine.write_text(missing, encoding="utf-8")
    with pytest.raises(UserError), serving(repository, log=tmp_path / "triton.log"):
        pass
    assert "tbgen env pack" in (tmp_path / "triton.log").read_text(encoding="utf-8")


def test_equal_rows_give_equal_answers_with_padding_and_without(single_server: EmbeddedServer) -> None:
    texts = ["상한가", "주가가 하루 만에 급락하며 " * 20, "상한가"]
    first, _, last = infer(SINGLE, texts, url=single_server.grpc_url)
    np.testing.assert_array_equal(first["softmax"], last["softmax"])
