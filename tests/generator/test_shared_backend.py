from pathlib import Path

import pytest

from tbgen.export.errors import NoSuchName, UserError
from tbgen.generator.check.check import check_repository
from tbgen.generator.models.shared_backend import install_backend
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.steps.load import steps_from_folder
from tbgen.generator.steps.vendor import this_platform


def test_the_steps_of_a_model_without_code_are_the_backends(sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("shop", sample_export, steps="backend"), tmp_path / "r")
    assert not list(tmp_path.rglob("*.py"))
    steps = steps_from_folder(tmp_path / "r" / "shop_onnx_bls" / "1")
    assert [type(step).__name__ for step in steps] == ["Tokenizer", "Engine", "TextClassification"]
    assert [finding for finding in check_repository(tmp_path / "r") if finding.severity == "error"] == []


def test_a_list_of_an_earlier_version_finds_its_steps(sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("shop", sample_export, steps="backend"), tmp_path / "r")
    file = tmp_path / "r" / "shop_onnx_bls" / "1" / "steps.json"
    now, text = steps_from_folder(file.parent), file.read_text(encoding="utf-8")
    for name, earlier in (("text_tokenizer", "tokenizer"), ("engine_call", "engine"), ("softmax_c", "text_c")):
        text = text.replace(f'"{name}', f'"{earlier}')
    file.write_text(text, encoding="utf-8")
    then = steps_from_folder(file.parent)
    assert [type(step).__name__ for step in then] == ["Tokenizer", "Engine", "TextClassification"]
    assert [(step.inputs, step.outputs) for step in then] == [(step.inputs, step.outputs) for step in now]
    assert not {type(step) for step in then} & {type(step) for step in now}


def test_there_are_two_forms(sample_export: Path, tmp_path: Path) -> None:
    with pytest.raises(NoSuchName, match=r"no form 'link'. Forms: backend, copy"):
        scaffold(Request("shop", sample_export, steps="link"), tmp_path / "r")


def test_the_backend_brings_the_tokenizers_library(tmp_path: Path) -> None:
    backend = install_backend(tmp_path / "backends", platform=this_platform())
    assert backend == tmp_path / "backends" / "tbgen"
    assert {"model.py", "engine.py", "tokenizer.py", "vendor"} <= {file.name for file in backend.iterdir()}
    assert (backend / "vendor" / "tokenizers").is_dir()


def test_an_edited_or_foreign_backend_is_left_alone(tmp_path: Path) -> None:
    backend = install_backend(tmp_path)
    install_backend(tmp_path)
    (backend / "model.py").write_text("# mine", encoding="utf-8")
    with pytest.raises(UserError, match="was edited since tbgen wrote it"):
        install_backend(tmp_path)
    (backend / "tbgen.json").unlink()
    with pytest.raises(UserError, match="exists and tbgen did not write it"):
        install_backend(tmp_path)
    assert (backend / "model.py").read_text(encoding="utf-8") == "# mine"
    install_backend(tmp_path, force=True)
    assert (backend / "model.py").read_text(encoding="utf-8") != "# mine"
