"""What the engine says of a text's windows, on small arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tbgen.backends.merge import JoinTokens, Merge


def test_a_window_counts_by_its_own_tokens() -> None:
    own = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=np.int32)
    texts = np.array([[0], [0], [1]], dtype=np.int32)
    values = np.array([[4, 0], [0, 8], [5, 5]], dtype=np.float32)
    assert Merge(Path(), rule="mean", size=2)(texts, own, outputs=values)["outputs"].tolist() == [[3, 2], [5, 5]]
    assert Merge(Path(), rule="max", size=2)(texts, own, outputs=values)["outputs"].tolist() == [[4, 8], [5, 5]]
    surest = Merge(Path(), rule="surest", size=2, by=1)(texts, own, outputs=values)
    assert surest["outputs"].tolist() == [[0, 8], [5, 5]]


@pytest.mark.parametrize("rule", ["softmax", "sigmoid"])
def test_logits_beyond_the_range_of_exp_are_merged(rule: str) -> None:
    values = np.array([[1000, -1000], [-1000, 1000]], dtype=np.float32)
    merge = Merge(Path(), rule=rule, size=2)
    merged = merge(np.zeros((2, 1), np.int32), np.ones((2, 1), np.int32), outputs=values)["outputs"]
    assert np.isfinite(merged).all()
    np.testing.assert_allclose(np.subtract(*merged[0]), 0)


def test_tokens_of_windows_become_one_row() -> None:
    own = np.array([[0, 1, 1, 0], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=np.int32)
    ids = np.array([[2, 10, 11, 3], [2, 11, 12, 3], [2, 20, 3, 0]])
    joined = JoinTokens(Path(), size=1)(
        np.array([[0], [0], [1]], dtype=np.int32),
        own,
        input_ids=ids,
        outputs=ids[:, :, None].astype(np.float32),
        offsets=np.stack([ids, ids], axis=2),
    )
    assert joined["input_ids"].tolist() == [[10, 11, 12], [20, 0, 0]]
    assert joined["outputs"][0, :, 0].tolist() == [10, 11, 12]
    assert joined["offsets"][1].tolist() == [[20, 20], [0, 0], [0, 0]]
    assert joined["special_tokens_mask"].tolist() == [[0, 0, 0], [0, 1, 1]]
