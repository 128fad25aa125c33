"""The checkpoints that docs/tutorial/five-minutes.md and docs/reference/tasks.md are tried with: one a task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.tasks.table import TASKS

ROOT = Path(__file__).parents[2]
# Name -> the task that docs/reference/tasks.md scaffolds it for.
NAMED = {"ranks": "rerank", "near": "similarity", "any_label": "zero-shot-classification", "words": "sparse-embedding"}


def test_each_task_has_a_checkpoint(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "examples" / "nine_tasks.py"], cwd=tmp_path, check=True)
    folders = sorted((tmp_path / "checkpoints").iterdir())
    read = [checkpoint_from_folder(folder, task=NAMED.get(folder.name)).task for folder in folders]
    assert sorted(read) == sorted(TASKS)
