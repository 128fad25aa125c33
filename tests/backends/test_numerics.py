from types import SimpleNamespace

import numpy as np

from tbgen.backends.numerics import columns_from_rows, json_column


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
