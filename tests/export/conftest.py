"""Checkpoints and exports that several tests read; nobody writes into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.exported import Exported, exported_from_folder
from tbgen.export.onnx.export import onnx_from_checkpoint
from tests.export import checkpoints
from tests.once import made_once


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random BERT classifier: 40 positions, 3 labels."""
    return made_once(tmp_path_factory, "bert", checkpoints.bert)


@pytest.fixture(scope="session")
def exported(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """That BERT, exported."""
    checkpoint = checkpoint_from_folder(bert)
    return exported_from_folder(
        made_once(tmp_path_factory, "bert_export", lambda folder: onnx_from_checkpoint(checkpoint, folder))
    )
