import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tbgen.backends import plan_engine
from tbgen.backends.engine import Engine
from tbgen.backends.plan_engine import PlanEngine

TOKENS = {name: ("TYPE_INT64", [-1]) for name in ("input_ids", "attention_mask")}


def engine(**settings: object) -> Engine:
    plain = {"model": "m", "inputs": TOKENS, "outputs": {"outputs": ("TYPE_FP32", [1])}, "max_batch_size": 4}
    return Engine(Path(), **(plain | {"buckets": [8, 16, 24, 32]} | settings))  # type: ignore[arg-type]


def least_cost(widths: list[int], most_rows: int, most_tokens: int, call: int) -> float:
    """The least cost over all ways to cut, by trying them all."""
    if not widths:
        return 0
    ends = [n for n in range(1, len(widths) + 1) if n == 1 or (n <= most_rows and n * widths[0] <= most_tokens)]
    return min(call + n * widths[0] + least_cost(widths[n:], most_rows, most_tokens, call) for n in ends)


@pytest.mark.parametrize("widths", [[8], [32, 8], [32, 32, 8, 8, 8], [24, 16, 16, 16, 8, 8], [8] * 9])
def test_no_other_cut_costs_less(widths: list[int]) -> None:
    step = engine(max_tokens=64, call_tokens=10)
    cuts = step.cuts(widths, widths)
    cost = sum(10 + (end - start) * widths[start] for start, end in itertools.pairwise(cuts))
    assert cost == least_cost(widths, 4, 64, 10)
    assert max(np.diff(cuts)) <= 4


def test_a_row_longer_than_the_budget_goes_alone() -> None:
    assert engine(max_tokens=16).cuts([32, 32, 8, 8], [32, 32, 8, 8]) == [0, 1, 2, 4]


def test_padding_that_costs_little_lets_rows_of_all_lengths_go_together() -> None:
    lengths, most = [30, 20, 10, 3], {"max_tokens": 100, "buckets": [], "call_tokens": 10}
    assert engine(**most).cuts(lengths, lengths) == [0, 2, 4]
    assert engine(**most, padding_cost=0.1).cuts(lengths, lengths) == [0, 4]
    assert engine(**most | {"max_tokens": 60}, padding_cost=0.1).cuts(lengths, lengths) == [0, 2, 4]


def test_rows_of_like_length_go_together_and_come_back_in_order() -> None:
    step = engine(call_tokens=0)
    seen = []

    def request(tensors: dict[str, np.ndarray], _: object) -> dict[str, np.ndarray]:
        seen.append(tensors["input_ids"].shape)
        return {"outputs": tensors["input_ids"].max(axis=1, keepdims=True).astype(np.float32)}

    step.request = request  # type: ignore[method-assign]
    lengths = np.array([3, 20, 5, 19])
    mask = (np.arange(24) < lengths[:, None]).astype(np.int64)
    answer = step(input_ids=mask * np.array([[1], [2], [3], [4]]), attention_mask=mask)
    assert answer["outputs"].tolist() == [[1], [2], [3], [4]]
    assert sorted(seen) == [(2, 8), (2, 24)]


def test_answers_along_the_length_are_padded_with_zeros() -> None:
    step = engine(call_tokens=0, outputs={"outputs": ("TYPE_FP32", [-1, 2])})
    step.request = lambda tensors, _: {"outputs": np.ones((*tensors["input_ids"].shape, 2), np.float32)}  # type: ignore[method-assign]
    mask = (np.arange(16) < np.array([[4], [12]])).astype(np.int64)
    answer = step(input_ids=mask, attention_mask=mask)["outputs"]
    assert answer.shape == (2, 16, 2)
    assert answer[:, :, 0].sum(axis=1).tolist() == [8, 16]


def fixed_shapes() -> Engine:
    """An engine of fixed shapes: one row of 32 tokens, one or four of 16."""
    shapes = [[1, 1, 32, 32], [1, 1, 16, 16], [4, 4, 16, 16]]
    return engine(shapes=shapes, buckets=[16, 32], max_tokens=512, call_tokens=20)


@pytest.mark.parametrize(
    ("widths", "cuts"),
    [([16], [0, 1]), ([16] * 3, [0, 3]), ([32, 32, 16], [0, 1, 2, 3]), ([32, 16, 16, 16], [0, 1, 4])],
)
def test_rows_are_cut_for_the_shapes_that_there_are(widths: list[int], cuts: list[int]) -> None:
    assert fixed_shapes().cuts(widths, widths) == cuts


def test_a_call_is_filled_up_to_a_shape_and_its_answers_are_cut_back() -> None:
    step = fixed_shapes()
    seen = []

    def run(tensors: dict[str, np.ndarray], _: object) -> dict[str, np.ndarray]:
        seen.append(tensors["input_ids"].shape)
        return {"outputs": tensors["input_ids"].max(axis=1, keepdims=True).astype(np.float32)}

    step.run = run  # type: ignore[method-assign]
    mask = (np.arange(16) < np.array([[3], [16], [9]])).astype(np.int64)
    answer = step(input_ids=mask * np.array([[1], [2], [3]]), attention_mask=mask)
    assert answer["outputs"].tolist() == [[1], [2], [3]]
    assert seen == [(4, 16)]


class FakeSession:
    """A plan's session without a GPU."""

    def __init__(self, file: Path, *, device: int, graphs: bool) -> None:
        self.opened, self.shapes = (file.name, device, graphs), list[tuple[int, ...]]()

    def run(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.shapes.append(tensors["input_ids"].shape)
        return {"outputs": tensors["input_ids"].max(axis=1, keepdims=True).astype(np.float32)}


def test_a_plan_in_this_process_is_run_at_its_shapes_on_its_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    monkeypatch.setattr(plan_engine, "PlanSession", FakeSession)
    settings = {"inputs": TOKENS, "outputs": {"outputs": ("TYPE_FP32", [1])}, "max_batch_size": 4}
    shapes = [[1, 1, 32, 32], [1, 1, 16, 16], [4, 4, 16, 16]]
    step = PlanEngine(tmp_path, cuda_graphs=True, shapes=shapes, buckets=[16, 32], call_tokens=20, **settings)
    step.load(1)
    assert step.session.opened == ("model.plan", 1, True)
    mask = (np.arange(16) < np.array([[3], [16], [9]])).astype(np.int32)
    answer = step(input_ids=mask * np.array([[1], [2], [3]], dtype=np.int32), attention_mask=mask)
    assert answer["outputs"].tolist() == [[1], [2], [3]]
    assert step.session.shapes == [(4, 16)]


def test_a_plan_without_tensorrt_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    step = PlanEngine(tmp_path, inputs=TOKENS, outputs={}, max_batch_size=4)
    with pytest.raises(ModuleNotFoundError, match="no tensorrt: bring it along with tbgen env pack"):
        step.load()
