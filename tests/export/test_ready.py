"""A ready ONNX file: taken when it fits its tokenizer, its task and the length asked; otherwise one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.ready import exported_from_onnx


@pytest.fixture
def folder(exported: Exported, tmp_path: Path) -> Path:
    """A model.onnx beside a tokenizer, as other tools leave them: no export.json."""
    copy = Path(shutil.copytree(exported.folder, tmp_path / "ready"))
    (copy / "export.json").unlink()
    return copy


def test_takes_a_file_that_fits(folder: Path, exported: Exported) -> None:
    ready = exported_from_onnx(folder / "model.onnx", folder)
    assert ready.inputs == exported.inputs
    assert ready.outputs == exported.outputs
    assert (ready.task, ready.labels, ready.max_length) == ("text-classification", ("부정", "중립", "긍정"), 40)
    assert ready.special == exported.special
    assert ready.parity == {}


@pytest.mark.parametrize("cut", [0, 10, 1000, 100_000, -10])
def test_refuses_a_truncated_file(folder: Path, cut: int) -> None:
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes()[:cut])
    with pytest.raises(UserError, match="is no whole ONNX file"):
        exported_from_onnx(model, folder)


def test_refuses_a_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no ONNX file .*other.onnx"):
        exported_from_onnx(folder / "other.onnx", folder)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("input_ids", "ids", "takes ids, attention_mask, token_type_ids; it must take"),
        ("outputs", "logits", "gives logits; task"),
    ],
)
def test_refuses_other_tensor_names(folder: Path, old: str, new: str, sentence: str) -> None:
    rename(folder / "model.onnx", old, new)
    with pytest.raises(UserError, match=sentence):
        exported_from_onnx(folder / "model.onnx", folder)


def rename(path: Path, old: str, new: str) -> None:
    model = onnx.load(str(path))
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.name = new if tensor.name == old else tensor.name
    onnx.save(model, str(path))


def test_refuses_labels_unlike_the_width(folder: Path) -> None:
    with pytest.raises(UserError, match=r"gives 3 numbers a text, there are 2 labels \(a, b\)"):
        exported_from_onnx(folder / "model.onnx", folder, labels=["a", "b"])


def test_refuses_a_length_beyond_the_positions(folder: Path) -> None:
    with pytest.raises(UserError, match=r"fails on 41 tokens \(does it have fewer positions\?\)"):
        exported_from_onnx(folder / "model.onnx", folder, max_length=41)


def test_refuses_a_vocabulary_beyond_the_embedding(folder: Path) -> None:
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["넘침"] = 5000
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"fails on the tokenizer's last id 5000 \(is its vocabulary larger than the embedding\?\)"
    ):
        exported_from_onnx(folder / "model.onnx", folder)
