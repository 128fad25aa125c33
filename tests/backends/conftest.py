"""Random checkpoints, each exported once for all tests of this folder."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.exported import Exported, exported_from_folder
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.onnx.packed import can_pack
from tests.once import made_once


@dataclass(frozen=True)
class Pair:
    """A checkpoint's folder, which transformers reads, and its export, which the steps are put around."""

    folder: Path
    exported: Exported

    @property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer in transformers."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder)

    def pipeline(self, task: str, **settings: Any) -> Any:
        """The checkpoint's pipeline in transformers."""
        from transformers import pipeline

        return pipeline(task, str(self.folder), tokenizer=self.tokenizer, **settings)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """Gives the checkpoint and the export of a family, a head and a task; without transformers the test is skipped."""
    pytest.importorskip("transformers")
    from tests.export.checkpoints import checkpoint

    @cache
    def make(family: str, auto: str, task: str, labels: tuple[str, ...] = (), problem: str | None = None) -> Pair:
        settings: dict[str, Any] = {"problem_type": problem} if problem else {}
        if labels:
            settings |= {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}

        def write(folder: Path) -> None:
            checkpoint(folder / "checkpoint", family, auto, **settings)
            read = checkpoint_from_folder(folder / "checkpoint", task=task)
            layout = "packed" if can_pack(read) else "padded"  # as `tbgen scaffold` exports it
            onnx_from_checkpoint(read, folder / "export", layout=layout)

        key = zlib.crc32(repr((auto, labels, problem)).encode())
        folder = made_once(tmp_path_factory, f"{task}-{family}-{key}", write)
        return Pair(folder / "checkpoint", exported_from_folder(folder / "export"))

    return make
