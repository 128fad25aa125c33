"""The code of the steps once, as a Python-based backend, beside models that bring their own copy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.client.connection import Connection
from tests.serving import serving
from tests.texts import HARD_TEXTS
from tests.triton.bare import bare_server, interpreters

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
SHOUT = """
import numpy as np


class Shout:
    inputs = outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder): ...

    def __call__(self, input_text):
        return {"input_text": np.array([[text.upper() + "!"] for text in input_text[:, 0]], dtype=object)}
"""


def utf8(texts: list[str]) -> np.ndarray:
    return np.array([[text.encode("utf-8")] for text in texts], dtype=object)


@pytest.fixture(scope="module")
def repository(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample served twice, with a step of one's own: `copied` and `shared`."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "shout.py").write_text(SHOUT, encoding="utf-8")
    for name, form in (("copied", "copy"), ("shared", "backend")):
        scaffold(Request(name, sample_export, steps=form, pre=(str(folder / "shout.py"),)), folder / "repository")
    return folder / "repository"


def files_of(folder: Path) -> set[str]:
    """The names of what a folder holds, but for what Python puts there."""
    return {file.name for file in folder.iterdir()} - {"__pycache__"}


def test_models_hold_config_steps_json_assets_and_steps_of_ones_own(repository: Path) -> None:
    assert files_of(repository / "shared_onnx_bls" / "1") == {"steps.json", "tokenizer.json", "shout.py"}
    assert files_of(repository / "shared_postprocess" / "1") == {"steps.json"}
    assert 'backend: "tbgen"' in (repository / "shared_postprocess" / "config.pbtxt").read_text(encoding="utf-8")


def test_both_forms_answer_alike_on_the_real_server(repository: Path, tmp_path: Path) -> None:
    with serving(repository, log=tmp_path / "log") as server, Connection(server.grpc_url) as connection:
        assert {model.backend for model in server.models() if "shared" in model.name} >= {"tbgen", "onnxruntime"}
        for graph in ("ensemble", "bls"):
            copied, shared = (
                connection.infer(f"{name}_onnx_{graph}", {"input_text": utf8(HARD_TEXTS)})
                for name in ("copied", "shared")
            )
            assert copied.keys() == shared.keys()
            for name, array in copied.items():
                np.testing.assert_array_equal(shared[name], array)


def test_an_installed_backend_serves_where_only_numpy_is(repository: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name in ("shared_tokenizer", "shared_postprocess", "copied_tokenizer", "copied_postprocess"):
        (models / name).symlink_to(repository / name)

    def install(backends: Path) -> None:
        result = CliRunner().invoke(main, ["install-backends", str(backends), "--force"])
        assert result.exit_code == 0, result.output

    with bare_server(models, interpreters()[RUNNING], tmp_path, install) as connection:
        copied, shared = (
            connection.infer(f"{name}_tokenizer", {"input_text": utf8(HARD_TEXTS)}) for name in ("copied", "shared")
        )
        assert (copied.pop("tbgen_turn")[0, 0], shared.pop("tbgen_turn")[0, 0]) == (len(HARD_TEXTS),) * 2
        for name, array in copied.items():
            np.testing.assert_array_equal(shared[name], array)
