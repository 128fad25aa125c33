"""Weights that are no numbers: refused of a checkpoint, of a ready file, and where a precision does not hold them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.onnx.broken_weights import broken_weights
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.ready.onnx_file import export_from_onnx
from tests.export.checkpoints import checkpoint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["classifier.bias", "bert.embeddings.word_embeddings.weight"])
def test_a_checkpoint_is_refused_by_the_name_of_the_weight(bert: Path, tmp_path: Path, name: str, value: float) -> None:
    folder = shutil.copytree(bert, tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    weights[name].view(-1)[-1] = value  # of a token that no text of the comparison has
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"the weights hold NaN or infinity in {name}, as a training that diverged"):
        onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_a_state_dict_is_refused_likewise(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "checkpoint", "bert", "AutoModelForSequenceClassification")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"][0, 0] = torch.nan
    torch.save(weights, tmp_path / "state.pt")
    (folder / "model.safetensors").unlink()
    (tmp_path / "state.pt").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"NaN or infinity in classifier.weight"):
        onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "export")


def test_a_ready_file_is_refused_before_it_is_tried(exported: Exported, tmp_path: Path) -> None:
    model = onnx.load(exported.model)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("classifier.bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(bias.dims, np.inf, np.float32), bias.name))
    onnx.save(model, tmp_path / "broken.onnx")
    with pytest.raises(
        UserError, match=r"broken.onnx': the weights hold NaN or infinity in \S*classifier.bias; take a"
    ):
        export_from_onnx(tmp_path / "broken.onnx", exported.folder, tmp_path / "export")


def saved(folder: Path, array: np.ndarray, **settings: Any) -> Path:
    """A file with one weight."""
    tensor = onnx.numpy_helper.from_array(array, "w")
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    onnx.save(onnx.helper.make_model(graph), str(folder / "m.onnx"), **settings)
    return folder / "m.onnx"


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("apart", [False, True])
def test_nan_is_found_in_every_type_and_beside_the_file(tmp_path: Path, kind: type, apart: bool) -> None:
    settings = {"save_as_external_data": True, "location": "m.data", "size_threshold": 0} if apart else {}
    array = np.arange(600, dtype=kind)
    assert broken_weights(saved(tmp_path, array, **settings)) == []
    array[-1] = np.nan
    (tmp_path / "m.data").unlink(missing_ok=True)
    assert broken_weights(saved(tmp_path, array, **settings)) == ["w"]
    if apart:
        (tmp_path / "m.data").write_bytes(b"short")
        with pytest.raises(UserError, match=r"the weights of '.*m.onnx' cannot be read \(.*; export or fetch it again"):
            broken_weights(tmp_path / "m.onnx")


@pytest.mark.parametrize("mask", [-np.inf, [0, -np.inf], [[0.0, -np.inf], [0, 0]]])
def test_a_mask_is_no_broken_weight(tmp_path: Path, mask: Any) -> None:
    assert broken_weights(saved(tmp_path, np.array(mask, np.float32))) == []


def test_a_constant_inside_a_branch_is_found(tmp_path: Path) -> None:
    constant = onnx.helper.make_node(
        "Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.array([1, np.nan], np.float32))
    )
    branch = onnx.helper.make_graph([constant], "b", [], [onnx.helper.make_tensor_value_info("c", 1, [2])])
    node = onnx.helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [])), tmp_path / "m.onnx")
    assert broken_weights(tmp_path / "m.onnx") == ["a constant", "a constant"]
