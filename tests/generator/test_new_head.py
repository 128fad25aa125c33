"""A new head inside the tree, as backends/README.md says: a step's file, and one row in `export/tasks/`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main
from tbgen.export.tasks import table
from tbgen.export.tasks.settings import PAIR
from tbgen.export.tasks.table import TASKS, model_of
from tbgen.export.tasks.task import Step, Task
from tbgen.generator.local.models import LocalModels
from tests.export import checkpoints

LARGEST = """
import numpy as np


class Largest:
    outputs = {"largest": ("TYPE_INT32", [1])}

    def __init__(self, folder, *, size):
        self.inputs = {"outputs": ("TYPE_FP32", [size])}

    def __call__(self, outputs):
        return {"largest": outputs.argmax(axis=1, keepdims=True).astype(np.int32)}
"""


@pytest.fixture
def head(tmp_path: Path) -> Path:
    (tmp_path / "largest.py").write_text(LARGEST, encoding="utf-8")
    return tmp_path / "largest.py"


def row(head: Path, like: str | None) -> Task:
    return Task(
        lambda exported, _: (Step(head, "Largest", {"size": exported.outputs["outputs"].shape[-1]}),),
        reading=lambda *_: PAIR if like == "rerank" else {},
        like=like,
    )


def tbgen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# like: what the checkpoint is exported for; None as its config.json says, and by the row's own name.
@pytest.mark.parametrize(
    ("name", "like", "exported"),
    [
        ("largest", None, "text-classification"),
        ("largest", "text-classification", "text-classification"),
        ("largest", "rerank", "rerank"),
    ],
)
def test_a_row_is_all_that_a_new_head_needs(
    name: str, like: str | None, exported: str, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, name, row(head, like))
    source, repository = checkpoints.bert(tmp_path / "bert"), tmp_path / "models"
    done = tbgen("scaffold", "m", "--source", source, "--task", name, "-r", repository)
    assert done.exit_code == 0, done.output
    record = json.loads((repository / "m_onnx_bls" / "tbgen.json").read_text(encoding="utf-8"))
    assert (record["settings"]["task"], record["export"]["task"]) == (name, exported)
    texts = {"input_text": np.array([["오늘도 상한가 갔다".encode()]], dtype=object)}
    with LocalModels(repository) as models:
        pair = {"text_pair": texts["input_text"]} if like == "rerank" else {}
        answers = [models.infer(f"m_onnx_{graph}", texts | pair)["largest"] for graph in ("bls", "ensemble")]
    assert [answer.shape for answer in answers] == [(1, 1)] * 2
    assert answers[0] == answers[1]
    assert "as tbgen writes them" in tbgen("diff", "m", "-r", repository).output
    exporting = tbgen("export", "onnx", "--source", source, "--task", name, "-o", tmp_path / "export")
    assert exporting.exit_code == 0, exporting.output


def test_a_file_with_a_row_is_all_that_the_table_needs() -> None:
    files = Path(table.__file__).parent.glob("*.py")
    rows = {file.stem.replace("_", "-") for file in files if "\nTASK = Task(" in file.read_text(encoding="utf-8")}
    assert TASKS.keys() == rows


def test_config_json_alone_stands_for_one_task_of_its_kind() -> None:
    for row in TASKS.values():
        assert row.model is not None
        assert model_of(row.model.task).architecture == row.model.architecture


def test_every_row_names_a_task_that_can_be_exported() -> None:
    assert all(model_of(task.like or name) for name, task in TASKS.items())


def test_a_name_without_a_row_is_a_sentence(tmp_path: Path) -> None:
    for command in (["scaffold", "m"], ["export", "onnx", "-o", tmp_path / "export"]):
        done = tbgen(*command, "--source", checkpoints.bert(tmp_path / command[0]), "--task", "largest")
        assert done.exit_code == 1
        assert "no task 'largest'. Tasks: " in done.output
