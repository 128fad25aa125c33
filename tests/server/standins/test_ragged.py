"""Ragged batches: what NVIDIA's onnxruntime backend gave for the same requests (Triton 2.51, its release 24.10)."""

from __future__ import annotations

import numpy as np
import pytest

from tbgen.generator.rules.onnxruntime import run_problems
from tbgen.generator.rules.ragged import join_arrays, scatter, scatter_sources

REQUESTS = [{"ids": np.arange(5)[None]}, {"ids": np.arange(9)[None]}, {"ids": np.arange(14).reshape(2, 7)}]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("BATCH_ELEMENT_COUNT", [5, 9, 14]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", [5, 14, 28]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 5, 14, 28]),
        ("BATCH_ITEM_SHAPE", [[5], [9], [7], [7]]),
        ("BATCH_ITEM_SHAPE_FLATTEN", [5, 9, 7, 7]),
    ],
)
def test_what_is_added_beside_the_flat_tokens(kind: str, values: list[object]) -> None:
    added = {"kind": kind, "target_name": ["lengths"], "data_type": "TYPE_INT32", "source_input": ["ids"]}
    joined = join_arrays(REQUESTS, frozenset(["ids"]), [added])
    assert joined["ids"].tolist() == [*range(5), *range(9), *range(14)]
    assert joined["lengths"].tolist() == values
    assert joined["lengths"].dtype == np.int32


def test_the_most_elements_are_a_shape() -> None:
    added = {
        "kind": "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
        "target_name": ["most"],
        "data_type": "TYPE_FP32",
        "source_input": ["ids"],
    }
    assert join_arrays(REQUESTS, frozenset(["ids"]), [added])["most"].shape == (14,)


def test_flat_outputs_are_cut_by_the_shapes_of_an_input() -> None:
    sources = [request["ids"] for request in REQUESTS]
    pieces = scatter("marks", np.arange(56).reshape(28, 2), sources, [-1, 2])
    assert [piece.shape for piece in pieces] == [(1, 5, 2), (1, 9, 2), (2, 7, 2)]
    assert pieces[1].tolist() == [[[2 * k, 2 * k + 1] for k in range(5, 14)]]


def test_what_nvidias_would_read_behind_the_tensor_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 15 values of 'marks', and the model gives 10"):
        scatter("marks", np.zeros((5, 2)), [np.zeros((1, 5))], [-1, 3])


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (["lengths"], []),
        (["length"], ["onnx runtime error 1: Failed to find input name in the mapping: length"]),
        ([], ["onnx runtime error 1: Missing Input: lengths"]),
    ],
)
def test_what_is_added_must_be_an_input_of_the_graph(targets: list[str], says: list[str]) -> None:
    config = {"input": [{"name": "ids"}], "batch_input": [{"target_name": targets}]}
    assert [problem.says for problem in run_problems(config, ["ids", "lengths"], ["ids", "lengths"])] == says


def test_each_target_of_a_batch_output_is_cut_up() -> None:
    """NVIDIA's loads such a model too, and answers the second target under the first one's name."""
    config = {"batch_output": [{"target_name": ["marks", "scores"], "source_input": ["ids"]}]}
    assert scatter_sources(config) == {"marks": "ids", "scores": "ids"}
