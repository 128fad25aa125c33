"""An engine whose weights lie in a file of their own: both files come into the version folder, and it is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.exported import exported_from_folder
from tbgen.export.onnx import graph_file
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.run import onnx_run
from tbgen.generator.engines.engine import EngineModel
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.models.write import write_build
from tbgen.generator.presets import SAMPLES
from tbgen.generator.role import ENGINE, Role
from tbgen.generator.scaffold import Request, scaffold


def test_weights_apart_are_brought_along(
    sample_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_file, "APART_FROM", 10_000)
    onnx_from_checkpoint(checkpoint_from_folder(SAMPLES / "kcbert"), tmp_path / "export", optimize=True)
    scaffold(Request("kcbert", tmp_path / "export"), tmp_path / "r")
    version = tmp_path / "r" / "kcbert_onnx" / "1"
    assert sorted(file.name for file in version.iterdir()) == ["model.onnx", "model.onnx.data"]
    ids = np.array([[2, 100, 200, 3]])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    whole = onnx_run(sample_repository / "kcbert_onnx" / "1" / "model.onnx")(inputs)
    np.testing.assert_allclose(onnx_run(version / "model.onnx")(inputs)["outputs"], whole["outputs"], atol=1e-5)


def test_weights_apart_are_there_for_the_build_script(sample_export: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    apart = {"model": tmp_path / "model.onnx", "weights": tmp_path / "model.onnx.data"}
    exported, role = replace(exported_from_folder(sample_export), **apart), Role("m", ENGINE, "trt_fp32")
    engine = EngineModel(role, ENGINES["trt_fp32"], exported, {}, {}, max_batch_size=8, script="#!/bin/sh\n")
    (tmp_path / "m_trt_fp32" / "1").mkdir(parents=True)
    write_build(engine, tmp_path / "m_trt_fp32" / "1")
    build = tmp_path / "m_trt_fp32" / "build"
    assert sorted(file.name for file in build.iterdir()) == ["build.sh", "model.onnx", "model.onnx.data"]
