"""Models that bring their own packages: served by Pythons that have only numpy, in a POSIX locale."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.steps.load import steps_from_folder
from tests.texts import HARD_TEXTS
from tests.triton.bare import bare_server, interpreters, numpy_only

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = interpreters()
MODELS = ("kcbert_tokenizer", "kcbert_postprocess")


def python_models(export: Path, folder: Path, *, vendor: bool) -> Path:
    """A repository with the Python models of the sample, which need no engine to be served."""
    scaffold(Request("kcbert", export, vendor=vendor), folder / "whole")
    for name in MODELS:
        shutil.move(folder / "whole" / name, folder / "python_models" / name)
    return folder / "python_models"


@pytest.fixture(scope="module")
def repository(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return python_models(sample_export, tmp_path_factory.mktemp("bare"), vendor=True)


def utf8(texts: list[str]) -> np.ndarray:
    return np.array([[text.encode("utf-8")] for text in texts], dtype=object)


def test_the_running_python_is_among_those_tried() -> None:
    assert RUNNING in PYTHONS


@pytest.mark.parametrize("version", sorted(PYTHONS))
def test_only_numpy_and_a_posix_locale(version: str, repository: Path, tmp_path: Path) -> None:
    python = numpy_only(PYTHONS[version])
    imported = subprocess.run([python, "-c", "import numpy, tokenizers"], capture_output=True, text=True, check=False)
    assert "No module named 'tokenizers'" in imported.stderr
    tokenizer, _ = steps_from_folder(repository / "kcbert_tokenizer" / "1")
    expected = tokenizer(input_text=np.array([[text] for text in HARD_TEXTS], dtype=object))
    with bare_server(repository, PYTHONS[version], tmp_path) as connection:
        tokens = connection.infer("kcbert_tokenizer", {"input_text": utf8(HARD_TEXTS)})
        answer = connection.infer("kcbert_postprocess", {"outputs": np.eye(3, dtype=np.float32)})
    for name, array in expected.items():
        np.testing.assert_array_equal(tokens[name], array)
    assert [label.decode("utf-8") for label in answer["label"].ravel()] == ["부정", "중립", "긍정"]


def test_without_its_own_package_the_model_does_not_load(sample_export: Path, tmp_path: Path) -> None:
    repository = python_models(sample_export, tmp_path, vendor=False)
    with (
        pytest.raises(AssertionError, match="No module named 'tokenizers'"),
        bare_server(repository, PYTHONS[RUNNING], tmp_path),
    ):
        pass
