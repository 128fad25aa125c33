"""The comparison with PyTorch, on engines that are wrong in known ways."""

from __future__ import annotations

import numpy as np
import pytest

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.parity.parity import Encoder, decide, engine_parity, groups, near_ties, parity
from tbgen.export.run import Tensors, onnx_run
from tbgen.export.tasks.table import model_of

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


def test_no_texts_prove_nothing(exported: Exported) -> None:
    with pytest.raises(UserError, match="no texts to compare on"):
        parity(right, right, Encoder(exported), [], exported)


def test_onnx_runtime_refuses_a_damaged_file(tmp_path: object) -> None:
    path = tmp_path / "model.onnx"  # type: ignore[operator]
    path.write_bytes(b"not a model")
    with pytest.raises(UserError, match="ONNX Runtime cannot load"):
        onnx_run(path)


@pytest.mark.parametrize(
    ("numbers", "choices", "even"),
    [
        ([1.0, 1.005, 0.0], [0], [True]),
        ([[1.0, 1.5], [2.0, 2.001]], [0, 0], [False, True]),
        ([0.001, -3.0], [True, True], [True, False]),
    ],
)
def test_what_the_reference_has_as_even_may_change_places(
    numbers: list[float], choices: list[int], even: list[bool]
) -> None:
    assert near_ties(np.array(numbers), np.array(choices), 0.01).tolist() == even
