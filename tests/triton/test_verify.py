"""`tbgen verify` on the real server: what holds, what drifts, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from tbgen.cli.main import main
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.parity.parity import torch_run
from tbgen.export.parity.sentences import TEXTS as SENTENCES
from tbgen.generator.presets import SAMPLES
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.verify.verify import drift_advice, scaffold_named
from tests.export import checkpoints

TEXTS = "오늘도 상한가 갔다\n정기 주주총회는 다음 달 20일에 열린다.\n🔥 떡상\nSell.\n"


@pytest.fixture
def texts(tmp_path: Path) -> str:
    (tmp_path / "texts.txt").write_text(TEXTS, encoding="utf-8")
    return str(tmp_path / "texts.txt")


def verify(server: EmbeddedServer, *arguments: str, repository: Path | None = None) -> tuple[int, str]:
    asked = ["verify", *arguments, "-r", str(repository or server.repository), "--url", server.grpc_url]
    done = CliRunner().invoke(main, asked)
    return done.exit_code, done.stdout or done.output


def test_the_sample_is_pytorchs_model_in_the_file_and_in_both_graphs(kcbert_server: EmbeddedServer, texts: str) -> None:
    code, printed = verify(kcbert_server, "kcbert", "--text", texts, "--json")
    rows = json.loads(printed)
    assert code == 0
    assert [row["road"] for row in rows] == ["kcbert_onnx (file)", "kcbert_onnx_ensemble", "kcbert_onnx_bls"]
    assert all(row["holds"] and row["parity"]["texts"] == 11 and row["parity"]["max_abs"] < 1e-4 for row in rows)
    assert [row["parity"]["padding_abs"] for row in rows[1:]] == [0.0, 0.0]


def test_a_front_models_name_compares_it_alone(kcbert_server: EmbeddedServer, texts: str) -> None:
    _, printed = verify(kcbert_server, "kcbert_onnx_bls", "--text", texts, "--json")
    assert [row["road"] for row in json.loads(printed)] == ["kcbert_onnx (file)", "kcbert_onnx_bls"]


def test_a_file_that_drifts_is_named_and_ends_with_1(kcbert_server: EmbeddedServer, texts: str, tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    shutil.copytree(kcbert_server.repository, repository)
    file = repository / "kcbert_onnx" / "1" / "model.onnx"
    model = onnx.load(file)
    bias = next(weight for weight in model.graph.initializer if weight.name.endswith("classifier.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.01, bias.name))
    onnx.save(model, file)
    code, printed = verify(kcbert_server, "kcbert", "--text", texts, "--json", repository=repository)
    assert code == 1
    assert [row["holds"] for row in json.loads(printed)] == [False, True, True]


def test_another_checkpoint_is_refused(kcbert_server: EmbeddedServer, texts: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(SAMPLES / "kcbert", other)
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x00\x00")
    code, printed = verify(kcbert_server, "kcbert", "--text", texts, "--source", str(other))
    assert code == 1
    assert "is not the checkpoint that kcbert_onnx was made from" in printed


def test_a_name_that_is_not_there(kcbert_server: EmbeddedServer, texts: str) -> None:
    code, printed = verify(kcbert_server, "kobert", "--text", texts)
    assert code == 1
    assert "no name 'kobert'. Names: kcbert" in printed


def test_a_clone_without_its_weights_says_how_to_write_them(kcbert_server: EmbeddedServer, tmp_path: Path) -> None:
    shutil.copytree(kcbert_server.repository, tmp_path / "clone", ignore=shutil.ignore_patterns("model.onnx"))
    (tmp_path / "clone" / "kcbert_onnx" / "1").rmdir()  # git keeps no empty folder
    with pytest.raises(
        UserError, match=r"^no engine file in .*: tbgen scaffold kcbert --engine onnx --device cpu --graph both -r \S+$"
    ):
        scaffold_named("kcbert", tmp_path / "clone")


def test_a_single_model_without_its_weights_says_so_too(sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("shop", sample_export, graph="single"), tmp_path)
    assert scaffold_named("shop", tmp_path).exported.model == tmp_path / "shop_onnx_single/1/model.onnx"
    (tmp_path / "shop_onnx_single/1/model.onnx").unlink()
    with pytest.raises(
        UserError, match=r"^no engine file in .*: tbgen scaffold shop --source CHECKPOINT --engine onnx .* -r \S+$"
    ):
        scaffold_named("shop", tmp_path)


def test_a_single_models_own_engine_file_is_held_before_its_neighbours(sample_export: Path, tmp_path: Path) -> None:
    for graph in ("single", "bls"):
        scaffold(Request("shop", sample_export, graph=graph), tmp_path)
    assert scaffold_named("shop_onnx_single", tmp_path).exported.model.parts[-3] == "shop_onnx_single"
    assert scaffold_named("shop_onnx_bls", tmp_path).exported.model.parts[-3] == "shop_onnx"


def test_the_tokenizer_is_not_that_of_a_longer_name(sample_export: Path, tmp_path: Path) -> None:
    for name in ("kcbert", "kcbert_big"):
        scaffold(Request(name, sample_export, graph="bls"), tmp_path)
    assert scaffold_named("kcbert", tmp_path).exported.tokenizer == tmp_path / "kcbert_onnx_bls/1/tokenizer.json"


def test_the_advice_for_a_file_that_drifts_names_its_layout(tmp_path: Path) -> None:
    checkpoint = checkpoint_from_folder(checkpoints.with_loud_activations(SAMPLES / "kcbert", tmp_path / "loud"))
    asked = {"precision": "int8", "layout": "packed", "tolerance": 9.0, "texts": SENTENCES[:1]}
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "made", **asked)
    said = drift_advice(checkpoint, exported, SENTENCES, torch_run(checkpoint))
    assert said.startswith("It first drifts at /model/bert/")
    words = said.rpartition("; it holds with: tbgen export onnx ")[2].split()
    assert words[:4] == ["--precision", "int8", "--layout", "packed"]
    kept = onnx_from_checkpoint(
        checkpoint, tmp_path / "kept", precision="int8", layout="packed", keep_fp32=words[5::2], texts=SENTENCES
    )
    assert kept.parity["flips"] == 0


def test_what_the_file_gave_is_shown_where_the_graphs_cannot_be_served(
    sample_export: Path, texts: str, tmp_path: Path
) -> None:
    scaffold(Request("kcbert", sample_export, engine="onnx_trt"), tmp_path / "models")
    done = CliRunner().invoke(main, ["verify", "kcbert", "-r", str(tmp_path / "models"), "--text", texts])
    assert done.exit_code == 1
    assert "kcbert_onnx_trt (file)" in done.stdout
    assert "Error: model 'kcbert_onnx_trt' failed to load: " in done.output


@pytest.mark.parametrize(
    ("task", "auto"),
    [
        ("fill-mask", "AutoModelForMaskedLM"),
        ("question-answering", "AutoModelForQuestionAnswering"),
        ("zero-shot-classification", "AutoModelForSequenceClassification"),
    ],
)
def test_tasks_that_a_plain_or_a_long_text_does_not_do_for(task: str, auto: str, tmp_path: Path) -> None:
    labels = {0: "a", 1: "b"} if task == "question-answering" else {0: "contradiction", 1: "neutral", 2: "entailment"}
    source = checkpoints.checkpoint(tmp_path / "checkpoint", "bert", auto, id2label=labels)
    scaffold(Request("mine", source, task=task), tmp_path / "models")
    (tmp_path / "texts.txt").write_text("금리는 동결\n" + "주가가 급락 " * 40 + "\n", encoding="utf-8")
    asked = ["verify", "mine", "-r", str(tmp_path / "models"), "--text", str(tmp_path / "texts.txt")]
    done = CliRunner().invoke(main, [*asked, "--source", str(source)])
    assert done.exit_code == 0, done.output
    assert "mine_onnx_bls" in done.stdout
