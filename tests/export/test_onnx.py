"""A checkpoint exported: the graph's shape, its answers, its bytes, and what is refused."""

from __future__ import annotations

import errno
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.onnx import export as subject
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.parity.parity import Encoder, torch_run
from tbgen.export.run import onnx_run

HARD = ["오늘도 상한가 갔다", "", "👨‍👩‍👧‍👦 😀", "금리 " * 200, "\x00\x07 tab\tnew\nline", "한국어", "شركة 回 e\u0301"]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_both_axes_are_dynamic(exported: Exported) -> None:
    assert exported.inputs["input_ids"] == TensorSpec("int64", ("batch", "sequence"))
    assert list(exported.inputs) == ["input_ids", "attention_mask", "token_type_ids"]
    assert exported.outputs == {"outputs": TensorSpec("float32", ("batch", 3))}


def test_answers_at_every_shape(bert: Path, exported: Exported) -> None:
    reference, engine = torch_run(checkpoint_from_folder(bert)), onnx_run(exported.model)
    random = np.random.default_rng(0)
    for batch in range(1, 6):
        for length in (2, 3, 7, 8, 16, 17, 39, 40):
            ids = random.integers(5, 200, (batch, length))
            mask = (np.arange(length) < random.integers(1, length + 1, (batch, 1))).astype(np.int64)
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}
            np.testing.assert_allclose(engine(inputs)["outputs"], reference(inputs)["outputs"], atol=1e-5, rtol=0)


def test_answers_on_hard_texts(bert: Path, exported: Exported) -> None:
    inputs = Encoder(exported)(HARD)
    assert inputs["input_ids"].shape == (7, 40)
    want = torch_run(checkpoint_from_folder(bert))(inputs)["outputs"]
    np.testing.assert_allclose(onnx_run(exported.model)(inputs)["outputs"], want, atol=1e-5, rtol=0)


def test_layer_normalisation_is_one_operator(exported: Exported) -> None:
    graph = onnx.load(str(exported.model))
    kinds = Counter(node.op_type for node in graph.graph.node)
    assert graph.opset_import[0].version == 17
    assert kinds["LayerNormalization"] == 5
    assert not kinds["ReduceMean"]


def test_the_mask_stays_finite_in_float16(exported: Exported) -> None:
    values = [onnx.numpy_helper.to_array(tensor) for tensor in tensors(onnx.load(str(exported.model)))]
    assert max(float(np.abs(value).max()) for value in values if value.dtype == np.float32 and value.size) <= 65504


def tensors(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    constants = [attribute.t for node in model.graph.node for attribute in node.attribute if node.op_type == "Constant"]
    return [*model.graph.initializer, *constants]


def test_writes_the_same_bytes_twice(bert: Path, exported: Exported, tmp_path: Path) -> None:
    again = onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "again")
    assert bytes_of(again.folder) == bytes_of(exported.folder)


def test_no_place_of_this_machine_is_in_the_files(bert: Path, exported: Exported) -> None:
    for name, content in bytes_of(exported.folder).items():
        for place in (bert, Path.cwd(), Path.home()):
            assert str(place).encode() not in content, name


def test_a_fixed_length_leaves_the_batch_dynamic(bert: Path, tmp_path: Path) -> None:
    fixed = onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "fixed", fixed_length=12)
    assert fixed.inputs["input_ids"].shape == ("batch", 12)
    assert fixed.fixed_length == 12
    inputs = Encoder(fixed)(HARD)
    assert inputs["input_ids"].shape == (7, 12)
    np.testing.assert_allclose(
        onnx_run(fixed.model)(inputs)["outputs"], torch_run(checkpoint_from_folder(bert))(inputs)["outputs"], atol=1e-5
    )


def test_given_labels_go_into_the_config(bert: Path, tmp_path: Path) -> None:
    made = onnx_from_checkpoint(checkpoint_from_folder(bert, labels=["하", "중", "상"]), tmp_path / "made")
    config = json.loads((made.folder / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "하", "1": "중", "2": "상"}
    assert made.labels == ("하", "중", "상")


def test_an_existing_folder_is_kept(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="mine' exists; choose another folder, or replace it with --force"):
        onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "mine")
    onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "model.onnx").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_only_an_export_is_replaced(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for place in (bert, bert / "config.json"):
        with pytest.raises(UserError, match="is no export, so --force does not replace it; choose another folder"):
            onnx_from_checkpoint(checkpoint_from_folder(bert), place, force=True)
    assert (bert / "model.safetensors").is_file()
    for _ in range(2):
        made = onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "mine", force=True)
    assert made.model.is_file()


def test_drift_is_refused_with_both_numbers(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"differs from PyTorch by \d.*e-0\d in a logit, the tolerance is 1e-12; nothing was written"
    ):
        onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "made", tolerance=1e-12)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"opset": 9}, "opset 9 cannot be written; there are 15 to 20"),
        ({"fixed_length": 41}, "reads 2 to 40 tokens"),
        ({"newest_opset": 16}, "opset 17 is newer than the server's ONNX Runtime reads, which is 16 at most"),
        ({"newest_ir": 7}, "IR version 8 is newer than the server's ONNX Runtime reads, which is 7 at most"),
    ],
)
def test_refuses_what_cannot_be_written(bert: Path, tmp_path: Path, settings: dict[str, int], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "made", **settings)
    assert list(tmp_path.iterdir()) == []


def test_weights_without_the_head_are_refused(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "headless"))
    text = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(
        text.replace("BertForSequenceClassification", "BertForMaskedLM"), encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"the weights lack cls\.predictions\.bias, cls\.predictions\.decoder"):
        onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "made")


def test_weights_of_another_shape_are_refused(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "wide"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}), encoding="utf-8")
    with pytest.raises(UserError, match=r"as \[40, 32\], config.json makes it \[64, 32\]"):
        onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "made")


def test_a_vocabulary_beyond_the_embedding_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "wide"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["넘침"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(UserError, match=r"the tokenizer's last id is 5000 \('넘침'\), the embedding has 345 rows"):
        onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "made")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_an_interrupted_export_leaves_nothing(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stop(_: Path) -> None:
        raise error

    monkeypatch.setattr(subject, "check_graph", stop)
    with pytest.raises((KeyboardInterrupt, UserError)):
        onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
