"""The command `tbgen check`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from click.testing import CliRunner

from tbgen.cli.check import check
from tests.triton.good_models import engine, ensemble, python


def test_what_scaffold_writes_is_good(sample_repository: Path) -> None:
    done = CliRunner().invoke(check, [str(sample_repository), "--triton", "24.10"])
    assert done.exit_code == 0
    assert "models, 0 errors" in done.stdout


def test_findings_on_a_pipe(tmp_path: Path) -> None:
    config = python(tmp_path / "m") / "config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8").replace("TYPE_STRING", "TYPE_TEXT"), encoding="utf-8")
    done = CliRunner().invoke(check, [str(tmp_path)])
    assert done.exit_code == 1
    assert "m/config.pbtxt:6: will not load: Error parsing text-format inference.ModelConfig" in done.stdout
    assert "1 models, 1 errors, 0 warnings" in done.stdout


def test_json(tmp_path: Path) -> None:
    engine(tmp_path / "good_engine")
    python(tmp_path / "good_python")
    config = ensemble(tmp_path / "e") / "config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8").replace("dims: [ 3 ]", "dims: [ 2 ]"), encoding="utf-8")
    done = CliRunner().invoke(check, [str(tmp_path), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {
        "errors": 1,
        "findings": [
            {
                "severity": "error",
                "effect": "refused",
                "model": "e",
                "file": "e/config.pbtxt",
                "line": 25,
                "triton": "in ensemble e, ensemble tensor scores: inconsistent shape: [-1,2] is inferred from model e "
                "while [-1,3] is inferred from model good_engine",
                "mend": "let e and good_engine agree on scores",
            }
        ],
    }


def test_a_good_repository_in_json(tmp_path: Path) -> None:
    engine(tmp_path / "m")
    done = CliRunner().invoke(check, [str(tmp_path), "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"errors": 0, "findings": []})


def test_weights_that_are_no_numbers_are_found_when_they_are_read(sample_repository: Path, tmp_path: Path) -> None:
    repository = shutil.copytree(sample_repository, tmp_path / "repository")
    file = repository / "kcbert_onnx" / "1" / "model.onnx"
    model = onnx.load(file)
    model.graph.initializer[-1].CopyFrom(onnx.numpy_helper.from_array(np.array([np.nan], np.float32), "broken"))
    onnx.save(model, file)
    place = "kcbert_onnx/1/model.onnx: will fail: the weights hold NaN or infinity in broken"
    for options, code in (([], 0), (["--weights"], 1)):
        done = CliRunner().invoke(check, [str(repository), *options])
        assert (done.exit_code, place in done.stdout) == (code, code == 1), done.stdout
    file.write_bytes(file.read_bytes()[:1000])
    done = CliRunner().invoke(check, [str(repository), "--weights"])
    assert "kcbert_onnx/1/model.onnx: will fail: the weights of " in done.stdout
    assert done.exit_code == 1


def test_good_weights_are_good(sample_repository: Path) -> None:
    assert CliRunner().invoke(check, [str(sample_repository), "--weights"]).exit_code == 0


def test_no_repository(tmp_path: Path) -> None:
    done = CliRunner().invoke(check, [str(tmp_path / "nowhere")])
    assert (done.exit_code, "no model repository at" in done.stderr) == (1, True)
    done = CliRunner().invoke(check, [str(tmp_path)])
    assert (done.exit_code, "no model in" in done.stderr) == (1, True)
