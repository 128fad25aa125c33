"""The comparison with PyTorch, on engines that are wrong in known ways."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.torch import load_file, save_file

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.onnx.export import onnx_from_checkpoint, refuse_drift
from tbgen.export.parity.parity import Encoder, Parity, decide, engine_parity, groups, margins_of, parity, torch_run
from tbgen.export.precision.precision import PRECISIONS
from tbgen.export.run import Tensors, onnx_run
from tbgen.export.tasks.table import model_of
from tests.export import checkpoints

TEXTS = ["금리는 동결", "오늘도 상한가 갔다", "the shares rose " * 9, "손절", ""]


def right(inputs: Tensors) -> Tensors:
    return {
        "outputs": (inputs["input_ids"] * inputs["attention_mask"]).sum(1, keepdims=True) * np.array([[1.0, 2.0, 3.0]])
    }


def shifted(inputs: Tensors) -> Tensors:
    return {"outputs": right(inputs)["outputs"] + 0.25}


def flipped(inputs: Tensors) -> Tensors:
    return {"outputs": right(inputs)["outputs"][:, ::-1]}


def heeds_padding(inputs: Tensors) -> Tensors:
    return {"outputs": right(inputs)["outputs"] + inputs["input_ids"].shape[1]}


def compare(engine: object, exported: Exported) -> object:
    return parity(right, engine, Encoder(exported), TEXTS, exported)  # type: ignore[arg-type]


def test_an_equal_engine(exported: Exported) -> None:
    found = compare(right, exported)
    assert (found.texts, found.max_abs, found.flips, found.decisions, found.agreement) == (5, 0.0, 0, 5, 1.0)


def test_a_shifted_engine(exported: Exported) -> None:
    found = compare(shifted, exported)
    assert (found.max_abs, found.mean_abs, found.flips) == (0.25, 0.25, 0)


def test_a_flipped_engine(exported: Exported) -> None:
    assert compare(flipped, exported).agreement == 0.0


def test_an_engine_that_heeds_padding(exported: Exported) -> None:
    assert compare(heeds_padding, exported).padding_abs > 10


def test_a_broken_engine_gives_nan(exported: Exported) -> None:
    assert np.isnan(compare(lambda inputs: {"outputs": right(inputs)["outputs"] * np.nan}, exported).max_abs)


def test_onnx_runtime_against_pytorch(bert: object, exported: Exported) -> None:
    found = engine_parity(checkpoint_from_folder(bert), exported, TEXTS)  # type: ignore[arg-type]
    assert found.max_abs < 1e-5
    assert found.padding_abs < 1e-5
    assert found.flips == 0


def test_groups_put_short_texts_beside_long_ones() -> None:
    assert list(groups(["a", "bbb", "cc", "dddd"])) == [["dddd", "a", "bbb", "cc"]]


@pytest.mark.parametrize(
    ("task", "problem", "numbers", "decision"),
    [
        ("text-classification", "single_label_classification", [0.1, 0.9], [1]),
        ("text-classification", "multi_label_classification", [0.1, -0.9], [True, False]),
        ("text-classification", "regression", [0.1], []),
        ("text-classification", "multi_label_classification", [0.1], [True]),
        ("rerank", "multi_label_classification", [0.1], []),
        ("token-classification", "single_label_classification", [[0.1, 0.9], [0.8, 0.2]], [1, 0]),
        ("question-answering", "", [0.1, 0.3, 0.2], [1]),
        ("embedding", "", [[0.1, 0.3]], []),
    ],
)
def test_decisions_by_task(task: str, problem: str, numbers: list[float], decision: list[int]) -> None:
    assert decide(np.array(numbers), model_of(task), problem).tolist() == decision


def test_an_engine_of_other_rows(exported: Exported) -> None:
    with pytest.raises(UserError, match="answers 5 texts with 10 rows"):
        compare(lambda inputs: {"outputs": np.repeat(right(inputs)["outputs"], 2, axis=0)}, exported)


def test_no_texts_prove_nothing(exported: Exported) -> None:
    with pytest.raises(UserError, match="no texts to compare on"):
        parity(right, right, Encoder(exported), [], exported)


def test_onnx_runtime_refuses_a_damaged_file(tmp_path: object) -> None:
    path = tmp_path / "model.onnx"  # type: ignore[operator]
    path.write_bytes(b"not a model")
    with pytest.raises(UserError, match="ONNX Runtime cannot load"):
        onnx_run(path)


@pytest.mark.parametrize(
    ("numbers", "choices", "margins"),
    [
        ([1.0, 1.005, 0.0], [0], [0.005]),
        ([[1.0, 1.5], [2.0, 2.001]], [0, 0], [0.5, 0.001]),
        ([0.001, -3.0], [True, True], [0.001, 3.0]),
        ([1.0], [], []),
    ],
)
def test_by_how_much_another_decision_is_the_worse_one(
    numbers: list[float], choices: list[int], margins: list[float]
) -> None:
    assert margins_of(np.array(numbers), np.array(choices)).tolist() == pytest.approx(margins)


@pytest.mark.parametrize(
    ("largest", "bound"), [(0.0, 1e-4), (9.9, 1e-4), (10.0, 1e-4), (300.0, 3e-3), (float("inf"), 1e-4)]
)
def test_a_bound_grows_with_large_logits_alone(largest: float, bound: float) -> None:
    found = Parity(texts=1, max_abs=bound, mean_abs=0, decisions=0, flips=0, padding_abs=bound, largest=largest)
    assert found.bound(1e-4) == pytest.approx(bound)
    assert found.holds(1e-4, 1.0)
    for name in ("max_abs", "padding_abs"):
        for wrong in (1.01 * bound, float("nan"), float("inf")):
            assert not dataclasses.replace(found, **{name: wrong}).holds(1e-4, 1.0)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT whose logits are large: up to some 1,500."""
    folder = checkpoints.bert(tmp_path_factory.mktemp("large") / "checkpoint")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"] *= 1000
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_a_right_file_of_large_logits_is_no_drift(large: Path, tmp_path: Path, layout: str) -> None:
    made = onnx_from_checkpoint(checkpoint_from_folder(large), tmp_path / "made", layout=layout)
    assert made.parity["largest"] > 500
    assert 1e-4 < made.parity["max_abs"] < made.parity["tolerance"] == pytest.approx(1e-5 * made.parity["largest"])


def test_a_wrong_file_of_large_logits_is_refused(large: Path, tmp_path: Path) -> None:
    checkpoint = checkpoint_from_folder(large)
    exported = onnx_from_checkpoint(checkpoint, tmp_path / "made")
    model = onnx.load(str(exported.model))
    (weights,) = (each for each in model.graph.initializer if each.name.endswith("classifier.weight"))
    wrong = onnx.numpy_helper.to_array(weights) * np.float32(1.0001)
    weights.CopyFrom(onnx.numpy_helper.from_array(wrong, weights.name))
    onnx.save(model, str(exported.model))
    found = engine_parity(checkpoint, exported, TEXTS, reference=torch_run(checkpoint))
    assert found.flips == 0
    with pytest.raises(
        UserError, match=r"differs from PyTorch by 0\.\d+ in a logit, the tolerance is 0\.0\d+; nothing was"
    ):
        refuse_drift(found, PRECISIONS["fp32"], lambda: "")
