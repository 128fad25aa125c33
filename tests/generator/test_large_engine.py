"""An engine whose weights lie in a file of their own: both files come into the version folder, and it is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tbgen.export import graphfile
from tbgen.export.checkpoint import checkpoint_from_folder
from tbgen.export.onnx import onnx_from_checkpoint
from tbgen.export.run import onnx_run
from tbgen.generator.presets import SAMPLES
from tbgen.generator.scaffold import Request, scaffold


def test_weights_apart_are_brought_along(
    sample_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphfile, "APART_FROM", 10_000)
    onnx_from_checkpoint(checkpoint_from_folder(SAMPLES / "kcbert"), tmp_path / "export", optimize=True)
    scaffold(Request("kcbert", tmp_path / "export"), tmp_path / "r")
    version = tmp_path / "r" / "kcbert_onnx" / "1"
    assert sorted(file.name for file in version.iterdir()) == ["model.onnx", "model.onnx.data"]
    ids = np.array([[2, 100, 200, 3]])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    whole = onnx_run(sample_repository / "kcbert_onnx" / "1" / "model.onnx")(inputs)
    np.testing.assert_allclose(onnx_run(version / "model.onnx")(inputs)["outputs"], whole["outputs"], atol=1e-5)
