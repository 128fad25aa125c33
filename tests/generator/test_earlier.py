"""Models that the tbgen of commit c307622 wrote: they answer, and today's commands know them.

earlier/models.tar.xz has a random checkpoint of 2 layers, what that version made of it, and what that version's models
answered: `old` with a separate and a joined step as ensemble and BLS model, `solo` as a single model, `near` as a BLS
model with warm-up behind an ensemble that keeps answers.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.generator.local.models import LocalModels
from tbgen.generator.role import Role, written_models
from tbgen.server.verify.verify import scaffold_named


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(Path(__file__).with_name("earlier") / "models.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tbgen(*words: str) -> str:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.output


def assert_answers(folder: Path) -> None:
    told = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    texts = np.array([[text.encode()] for text in told["texts"]], dtype=object)
    with LocalModels(folder / "repository") as models:
        for model, answers in told["answers"].items():
            found = models.infer(model, {"input_text": texts})
            assert [label.decode() for (label,) in found["label"]] == answers["label"]
            np.testing.assert_allclose(found["softmax"], answers["softmax"], atol=1e-6)


def test_they_answer_as_they_did(folder: Path) -> None:
    assert_answers(folder)


def test_their_names_tell_their_roles(folder: Path) -> None:
    assert {name: model.role for name, model in written_models(folder / "repository").items()} == {
        "near_onnx": Role("near", "engine", "onnx"),
        "near_onnx_bls": Role("near", "front", "onnx", "bls"),
        "near_onnx_bls_ensemble": Role("near", "front", "onnx", "bls_ensemble"),
        "old_onnx": Role("old", "engine", "onnx"),
        "old_onnx_bls": Role("old", "front", "onnx", "bls"),
        "old_onnx_ensemble": Role("old", "front", "onnx", "ensemble"),
        "old_postprocess": Role("old", "postprocess"),
        "old_shout": Role("old", "shout"),
        "old_tokenizer": Role("old", "tokenizer"),
        "solo_onnx_single": Role("solo", "front", "onnx", "single"),
    }


@pytest.mark.parametrize("source", [["--source", "checkpoint"], []], ids=["with its source", "without it"])
@pytest.mark.parametrize("name", ["old", "solo", "near"])
def test_update_writes_them_anew(folder: Path, name: str, source: list[str]) -> None:
    if source:
        pytest.importorskip("torch")
    edited = next(folder.glob(f"repository/{name}_onnx_*/config.pbtxt"))
    edited.write_text("# mine\n" + edited.read_text(encoding="utf-8"), encoding="utf-8")
    tbgen("diff", name, *source, "-r", "repository")
    tbgen("update", name, *source, "-r", "repository")
    assert edited.read_text(encoding="utf-8").startswith("# mine\n")
    assert_answers(folder)
    records = [model.record for model in written_models(folder / "repository").values() if model.role.name == name]
    assert all("role" in record for record in records)


def test_verify_finds_them(folder: Path) -> None:
    old = scaffold_named("old", folder / "repository")
    assert old.fronts == ("old_onnx_ensemble", "old_onnx_bls")
    assert old.exported.model == folder / "repository/old_onnx/1/model.onnx"
    assert scaffold_named("solo", folder / "repository").fronts == ("solo_onnx_single",)


@pytest.mark.parametrize("name", ["old", "solo"])
def test_verify_holds_them_against_their_checkpoint(name: str, folder: Path) -> None:
    pytest.importorskip("torch")
    (folder / "texts.txt").write_text("오늘도 상한가 갔다\n또 물렸네\n", encoding="utf-8")
    words = ("--source", "checkpoint", "-r", "repository", "--text", "texts.txt", "--quiet", "--json")
    rows = json.loads(tbgen("verify", name, *words))
    assert [row["road"] for row in rows][1:] == list(scaffold_named(name, folder / "repository").fronts)
    assert all(row["holds"] for row in rows)


def test_deploy_takes_them(folder: Path) -> None:
    (folder / "served").mkdir()
    tbgen("deploy", "copy", "repository", "served", "--no-server")
    assert sorted(path.name for path in (folder / "served").iterdir()) == sorted(
        path.name for path in (folder / "repository").iterdir()
    )


@pytest.mark.usefixtures("folder")
def test_an_update_says_what_is_new() -> None:
    said = tbgen("diff", "solo", "-r", "repository", "--quiet")
    assert "New since these models were written: queue = 4. Seconds that a request" in said
    (told,) = json.loads(tbgen("diff", "solo", "-r", "repository", "--quiet", "--json"))
    assert told["new_settings"]["queue"] == "4"
