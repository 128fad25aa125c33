from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tbgen.backends.embedding import Embedding
from tbgen.backends.numerics import columns_from_rows, json_column
from tbgen.backends.similarity import Similarity


def test_json_keeps_text_as_it_is() -> None:
    assert json_column([{"text": "금리 🔥"}, []]).tolist() == [['{"text": "금리 🔥"}'], ["[]"]]


def test_columns_are_padded_behind_each_rows_own() -> None:
    rows = [[SimpleNamespace(word="상한가", score=0.5)], []]
    columns = {"entities_word": ("TYPE_STRING", [-1]), "entities_score": ("TYPE_FP32", [-1])}
    answer = columns_from_rows(rows, columns, "entities_")
    assert {name: array.tolist() for name, array in answer.items()} == {
        "entities_word": [["상한가"], [""]],
        "entities_score": [[0.5], [0.0]],
    }
    assert answer["entities_score"].dtype == np.float32


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e30])
def test_vectors_whose_squares_are_beyond_single_precision_have_length_1(size: float) -> None:
    vectors = np.array([[3, 4, 0], [0, 0, 0]], np.float32) * np.float32(size)
    wanted = [[pytest.approx(0.6), pytest.approx(0.8), 0], [0, 0, 0]]
    found = Embedding(Path(), size=3, pooling="none")(vectors)["embedding"]
    assert (found.dtype, found.tolist()) == (np.float32, wanted)
    pair = np.array([vectors[0], vectors[0]])
    assert Similarity(Path(), size=3)(pair, np.zeros((2, 1), np.int32))["scores"].tolist() == [[pytest.approx(1)]]
