"""Ragged batches: what NVIDIA's onnxruntime backend gave for the same requests (Triton 2.51, its release 24.10)."""

from __future__ import annotations

import numpy as np
import pytest

from tbgen.server.engines.onnxruntime.onnx_ragged import joined_arrays

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
    joined = joined_arrays(REQUESTS, frozenset(["ids"]), [added])
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
    assert joined_arrays(REQUESTS, frozenset(["ids"]), [added])["most"].shape == (14,)
