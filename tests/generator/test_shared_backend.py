from pathlib import Path

import pytest

from tbgen.backends.chain import steps_from_folder
from tbgen.export.errors import NoSuchName, UserError
from tbgen.generator.check.check import check_repository
from tbgen.generator.models.shared_backend import install_backend
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.steps.vendor import this_platform


def test_the_steps_of_a_model_without_code_are_the_backends(sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("shop", sample_export, steps="backend"), tmp_path / "r")
    assert not list(tmp_path.rglob("*.py"))
    steps = steps_from_folder(tmp_path / "r" / "shop_onnx_bls" / "1")
    assert [type(step).__name__ for step in steps] == ["Tokenizer", "Engine", "TextClassification"]
    assert [finding for finding in check_repository(tmp_path / "r") if finding.severity == "error"] == []


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
