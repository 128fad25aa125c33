"""An engine of one's own, as docs/how-to/extend.md says: what is its own, and a row in `generator/engines/table.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main
from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.exported import Exported
from tbgen.export.layout import PADDED
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.generator.check.check import check_repository
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model
from tbgen.generator.engines.engine import Engine, EngineModel
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.local.models import LocalModels
from tbgen.generator.models.config import ModelConfig
from tbgen.server.bench.parts import Front, Part
from tbgen.server.tune.knobs import KNOBS, Draft, values_of
from tests.export import checkpoints

GRAPHS = ("ensemble", "bls", "single")


def export_fused(checkpoint: Checkpoint, folder: Path, **options: Any) -> Exported:
    """The sample's layers fused for ONNX Runtime, under a name of its own."""
    exported = onnx_from_checkpoint(checkpoint, folder, optimize=True, **options)
    return replace(exported, model=exported.model.rename(folder / "fused.onnx"))


def keep_order(config: ModelConfig, _: EngineModel) -> None:
    config.parameters["execution_mode"].string_value = "0"


def is_young(model: Model) -> Iterator[Finding]:
    yield model.advice("backend", "is a young engine", "watch it")


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> Engine:
    row = replace(
        ENGINES["onnx"],
        name="onnx_fused",
        file="fused.onnx",
        layouts=(PADDED,),
        export=export_fused,
        configure=keep_order,
        findings=is_young,
        knobs={"tokens a call": (4096, 8192), "parallel calls": ()},
    )
    monkeypatch.setitem(ENGINES, row.name, row)
    return row


def tbgen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def repository(fused: Engine, tmp_path: Path) -> Path:
    source = checkpoints.bert(tmp_path / "bert")
    for graph in ("both", "single"):
        words = ("--engine", fused.name, "--graph", graph, "--no-vendor", "-r", tmp_path / "models")
        done = tbgen("scaffold", "m", "--source", source, *words)
        assert done.exit_code == 0, done.output
    return tmp_path / "models"


def test_a_row_is_all_that_a_new_engine_needs(repository: Path) -> None:
    record = json.loads((repository / "m_onnx_fused" / "tbgen.json").read_text(encoding="utf-8"))
    assert (record["settings"]["engine"], record["export"]["made"]["engine"]) == ("onnx_fused", "onnx_fused")
    assert record["export"]["made"]["optimized"]
    config = (repository / "m_onnx_fused" / "config.pbtxt").read_text(encoding="utf-8")
    assert 'default_model_filename: "fused.onnx"' in config
    assert "execution_mode" in config
    texts = {"input_text": np.array([["오늘도 상한가 갔다".encode()], [b""]], dtype=object)}
    with LocalModels(repository) as models:
        answers = [models.infer(f"m_onnx_fused_{graph}", texts)["score"] for graph in GRAPHS]
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    assert "as tbgen writes them" in tbgen("diff", "m", "-r", repository).output


def test_check_says_what_is_particular_to_it(repository: Path) -> None:
    found = [finding.model for finding in check_repository(repository) if finding.says == "is a young engine"]
    assert found == ["m_onnx_fused", "m_onnx_fused_single"]


def test_tune_turns_what_its_row_says(repository: Path) -> None:
    front = Front(Part("m_onnx_fused_bls", "steps"), callees=[Part("m_onnx_fused", "engine")])
    draft = Draft(repository, front, cores=2)
    assert {name: list(values_of(name, draft)) for name in ("tokens a call", "parallel calls", "rows a call")} == {
        "tokens a call": [4096, 8192],
        "parallel calls": [],
        "rows a call": [16, 32, 64, 128],
    }


def test_it_runs_no_file_of_others_and_its_file_runs_nowhere_else(repository: Path, tmp_path: Path) -> None:
    source = tmp_path / "export"
    assert tbgen("export", "onnx", "--source", tmp_path / "bert", "-o", source).exit_code == 0
    done = tbgen("scaffold", "n", "--source", source, "--engine", "onnx_fused", "-r", repository)
    assert "engine onnx_fused runs what its own export makes of a checkpoint" in done.output


def test_knobs_are_those_of_tune() -> None:
    for engine in ENGINES.values():
        assert engine.knobs.keys() <= KNOBS.keys()
