from pathlib import Path

import numpy as np

from tbgen.backends.text_classification import TextClassification


def test_the_best_class_its_name_and_its_probability() -> None:
    step = TextClassification(Path(), labels=["부정", "중립", "긍정"])
    answer = step(np.array([[0.0, 0.0, np.log(2.0)], [5.0, 0.0, 0.0]], dtype=np.float32))
    assert answer["label"].tolist() == [["긍정"], ["부정"]]
    assert answer["label_index"].tolist() == [[2], [0]]
    np.testing.assert_allclose(answer["softmax"][0], [0.25, 0.25, 0.5], atol=1e-6)
    np.testing.assert_allclose(answer["score"], [[0.5], [0.986703]], atol=1e-5)


def test_logits_beyond_the_range_of_exp() -> None:
    answer = TextClassification(Path(), labels=["a", "b"])(np.array([[1000.0, -1000.0]], dtype=np.float32))
    assert answer["softmax"].tolist() == [[1.0, 0.0]]


def test_types_are_as_declared() -> None:
    step = TextClassification(Path(), labels=["a", "b"])
    answer = step(np.zeros((4, 2), dtype=np.float32))
    assert step.outputs["softmax"] == ("TYPE_FP32", [2])
    assert (answer["label_index"].dtype, answer["softmax"].dtype) == (np.int32, np.float32)
