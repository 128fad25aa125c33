"""What is made of logits, held to bounds: engines that are wrong in known ways, by task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.onnx.export import refuse_drift
from tbgen.export.parity.agreement import BOUNDS, agreement, best_span, pool_states, runs, same
from tbgen.export.parity.parity import Encoder, Parity, parity
from tbgen.export.precision.precision import PRECISIONS
from tbgen.export.run import Tensors
from tbgen.export.sentence.pooling import POOL

TEXTS = [f"금리는 {number}% 동결 " + "the shares " * (number % 5) for number in range(120)]
WIDTH = 12


def task(exported: Exported, name: str, *, precision: str = "int8", **sentence: Any) -> Exported:
    """The export as if it were of another task."""
    widths = {"rerank": ("batch", 1), "question-answering": ("batch", "sequence")}
    shape = widths.get(name, ("batch", "sequence", WIDTH))
    names = ("start_logits", "end_logits") if name == "question-answering" else ("outputs",)
    made = replace(exported.made, precision=precision)
    outputs = {output: TensorSpec("float32", shape) for output in names}
    return replace(exported, task=name, outputs=outputs, made=made, sentence=sentence)


def numbers(inputs: Tensors) -> np.ndarray:
    """Hidden states that depend on the ids alone, text by text: (texts, tokens, WIDTH)."""
    ids = inputs["input_ids"][:, :, None] * np.arange(1, WIDTH + 1)
    return np.sin(ids * 12.9898) + np.sin(inputs["input_ids"].cumsum(1)[:, :, None] * np.arange(1, WIDTH + 1) * 0.7)


def right(inputs: Tensors) -> Tensors:
    states = numbers(inputs)
    first = states[:, :, 0]
    return {"outputs": states, "start_logits": first, "end_logits": first[:, ::-1]}


def off(error: float) -> Any:
    """`right` with noise that long beside its numbers."""
    random = np.random.default_rng(0)

    def run(inputs: Tensors) -> Tensors:
        return {name: each + error * random.normal(size=each.shape) for name, each in right(inputs).items()}

    return run


def pairs(run: Any) -> Any:
    return lambda inputs: {"outputs": run(inputs)["outputs"].mean(1)[:, :1]}


def found(exported: Exported, engine: Any, texts: list[str] = TEXTS, reference: Any = right) -> dict[str, float]:
    return {
        name: value for name, (value, _) in agreement(reference, engine, Encoder(exported), texts, exported).items()
    }


TASKS = {
    "embedding": {"cosine", "same nearest text", "same texts of the nearest ten"},
    "similarity": {"cosine", "same nearest text", "same texts of the nearest ten"},
    "sparse-embedding": {"cosine", "same tokens of the heaviest ten"},
    "fill-mask": {"same first word", "same words of the first ten"},
    "question-answering": {"same span"},
    "token-classification": {"same entities"},
}


@pytest.mark.parametrize("name", TASKS)
def test_an_equal_engine_agrees_in_all_and_a_noisy_one_does_not(name: str, exported: Exported) -> None:
    export = replace(task(exported, name), labels=("O", *"abcdefghijk"))
    assert found(export, right) == pytest.approx(dict.fromkeys(TASKS[name], 1.0))
    noisy = found(export, off(1.0))
    assert all(noisy[measure] < BOUNDS[measure]["int8"] for measure in TASKS[name])


def test_the_order_of_a_querys_texts(exported: Exported) -> None:
    export = task(exported, "rerank")
    assert found(export, pairs(right), reference=pairs(right)) == {
        "same first text": 1.0,
        "same texts of the first ten": 1.0,
    }
    assert found(export, pairs(off(1.0)), reference=pairs(right))["same first text"] < 0.95


def test_few_texts_have_no_neighbours(exported: Exported) -> None:
    assert set(found(task(exported, "embedding"), right, TEXTS[:99])) == {"cosine"}


def test_texts_that_are_there_twice_count_once(exported: Exported) -> None:
    assert set(found(task(exported, "embedding"), right, TEXTS[:60] * 2)) == {"cosine"}


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "lasttoken"])
def test_vectors_are_pooled_as_they_are_served(pooling: str, exported: Exported) -> None:
    def wrong_beyond_the_first(inputs: Tensors) -> Tensors:
        states = right(inputs)["outputs"].copy()
        states[:, 1:] += 3.0
        return {"outputs": states}

    cosine = found(task(exported, "embedding", pooling=pooling), wrong_beyond_the_first)["cosine"]
    assert (cosine > 0.9999) == (pooling == "cls")


@pytest.mark.parametrize(("name", "precision"), [("text-classification", "int8"), ("embedding", "fp32")])
def test_what_is_held_by_labels_or_by_its_tolerance_has_no_bounds_here(
    name: str, precision: str, exported: Exported
) -> None:
    assert found(task(exported, name, precision=precision), right) == {}


def test_a_broken_engine_never_holds(exported: Exported) -> None:
    broken = lambda inputs: {name: each * np.nan for name, each in right(inputs).items()}  # noqa: E731
    for name in TASKS:
        export = replace(task(exported, name), labels=("O", *"abcdefghijk"))
        compared = parity(right, broken, Encoder(export), TEXTS[:20], export)
        assert not compared.answers_hold or name == "token-classification"
        assert np.isnan(compared.max_abs)


def test_a_refusal_names_what_is_below_its_bound_first() -> None:
    answers = {"cosine": (0.999, 0.995), "same nearest text": (0.84, 0.95)}
    compared = Parity(texts=250, max_abs=0.1, mean_abs=0, decisions=0, flips=0, padding_abs=0, answers=answers)
    with pytest.raises(
        UserError,
        match=r"the answers are not those of PyTorch: same nearest text 0\.8400 \(at least 0\.95\), cosine 0\.9990 ",
    ):
        refuse_drift(compared, PRECISIONS["int8"], lambda: "")


def test_ties_in_fp32_count_for_either() -> None:
    assert same(np.array([[1.0, 1.0, 0.0]]), np.array([[0.9, 1.1, 0.0]]), 1) == 1.0
    assert same(np.array([[1.0, 0.9, 0.0]]), np.array([[0.9, 1.1, 0.0]]), 1) == 0.0
    assert same(np.array([[3.0, 2.0, 1.0, 0.0]]), np.array([[3.0, 0.0, 1.0, 2.0]]), 2) == 0.5


def test_spans_end_where_they_begin_or_later_and_are_no_longer_than_served() -> None:
    starts, ends = np.zeros((1, 30)), np.zeros((1, 30))
    starts[0, 20], ends[0, [3, 22]] = 5.0, (9.0, 1.0)
    assert best_span({"start_logits": starts, "end_logits": ends}, 0, 30) == (0, 3)
    starts[0, 0], ends[0, 3] = -9.0, 3.0
    assert best_span({"start_logits": starts, "end_logits": ends}, 0, 30) == (20, 22)
    assert best_span({"start_logits": starts, "end_logits": ends}, 0, 21) == (20, 20)


def test_entities_are_runs_of_one_label_but_of_nothing() -> None:
    assert runs(np.array([0, 1, 1, 2, 0]), ("O", "PER", "ORG")) == {(1, 2, 1), (3, 3, 2)}


@pytest.mark.parametrize("pooling", [*POOL, ["cls", "weightedmean"]])
def test_vectors_are_pooled_in_each_way_that_is_served(pooling: str | list[str], exported: Exported) -> None:
    states = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    export = replace(task(exported, "embedding"), sentence={"pooling": pooling, "pooled": False})
    modes = [pooling] if isinstance(pooling, str) else pooling
    real = torch.from_numpy(mask.astype(np.float32))[:, :, None]
    expected = torch.cat([POOL[mode](torch.from_numpy(states), real) for mode in modes], dim=1)
    np.testing.assert_allclose(pool_states(states, {"attention_mask": mask}, export), expected.numpy(), rtol=1e-5)
