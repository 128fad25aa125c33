"""Weights in a file of their own, tried with a threshold low enough for a small model."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, exported_from_folder
from tbgen.export.onnx import graph_file
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.onnx.graph_file import load_graph, move_graph, save_graph
from tbgen.export.parity.parity import Encoder
from tbgen.export.ready.onnx_file import export_from_onnx
from tbgen.export.run import onnx_run


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_file, "APART_FROM", 10_000)


@pytest.fixture
def scattered(exported: Exported, tmp_path: Path) -> Path:
    """A model with a file for each weight, as the exporter of PyTorch leaves a large one."""
    model = onnx.load(str(exported.model))
    path = tmp_path / "scattered" / "model.onnx"
    path.parent.mkdir()
    onnx.save(model, str(path), save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    return path


@pytest.mark.usefixtures("low")
def test_scattered_weights_come_into_one_file(scattered: Path, exported: Exported, tmp_path: Path) -> None:
    move_graph(scattered, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx.data").stat().st_size > 90_000
    inputs = Encoder(exported)(["오늘도 상한가 갔다", "금리"])
    assert (onnx_run(tmp_path / "model.onnx")(inputs)["outputs"] == onnx_run(exported.model)(inputs)["outputs"]).all()


def test_weights_that_fit_come_into_the_model(scattered: Path, tmp_path: Path) -> None:
    move_graph(scattered, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["model.onnx"]


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize(("precision", "optimize"), [("fp32", True), ("fp16", False), ("int8", False), ("int8", True)])
def test_an_export_with_its_weights_apart(bert: Path, tmp_path: Path, precision: str, optimize: bool) -> None:
    made = [
        onnx_from_checkpoint(
            checkpoint_from_folder(bert), tmp_path / name, precision=precision, optimize=optimize, tolerance=9
        )
        for name in ("one", "two")
    ]
    assert [path.name for path in made[0].files] == ["model.onnx", "model.onnx.data"]
    assert made[0].model.stat().st_size < 80_000
    for name in ("model.onnx", "model.onnx.data", "export.json"):
        assert (made[0].folder / name).read_bytes() == (made[1].folder / name).read_bytes()


@pytest.fixture
def apart(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An export whose weights lie apart."""
    monkeypatch.setattr(graph_file, "APART_FROM", 10_000)
    return onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "apart", optimize=True).folder


def test_weights_that_are_gone_are_missed(apart: Path) -> None:
    (apart / "model.onnx.data").unlink()
    with pytest.raises(UserError, match=r"no model\.onnx\.data in"):
        exported_from_folder(apart)
    with pytest.raises(UserError, match="is no whole ONNX file"):
        export_from_onnx(apart / "model.onnx", apart, apart / "made")


def test_weights_that_are_cut_short_are_missed(apart: Path) -> None:
    path = apart / "model.onnx.data"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"model.onnx' has \d+ bytes, export.json says \d+; export again"):
        exported_from_folder(apart)
    with pytest.raises(UserError, match=r"is no whole ONNX file|cannot load|cannot be read"):
        export_from_onnx(apart / "model.onnx", apart, apart / "made")


def test_a_ready_file_with_weights_apart(apart: Path) -> None:
    ready = export_from_onnx(apart / "model.onnx", apart, apart / "made")
    assert ready.weights == apart / "made" / "model.onnx.data"
    assert set(ready.made.source) == {"model.onnx", "model.onnx.data"}


@pytest.mark.usefixtures("low")
def test_a_ready_file_with_scattered_weights_gets_one_file_for_them(scattered: Path, exported: Exported) -> None:
    ready = export_from_onnx(scattered, exported.folder, scattered.parent / "made")
    assert [path.name for path in ready.files] == ["model.onnx", "model.onnx.data"]
    inputs = Encoder(exported)(["오늘도 상한가 갔다", "금리"])
    assert (onnx_run(ready.model)(inputs)["outputs"] == onnx_run(exported.model)(inputs)["outputs"]).all()


def test_a_file_is_written_over_not_added_to(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_file, "APART_FROM", 10_000)
    for _ in range(2):
        save_graph(load_graph(exported.model), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx.data").stat().st_size < 200_000
