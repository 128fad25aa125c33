import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tbgen.backends.similarity import QueryTexts, Similarity
from tests.backends.conftest import Pair
from tests.backends.served import Served, column
from tests.backends.test_embedding import pooled
from tests.texts import HARD_TEXTS, SENTENCES

QUERIES = ["금리가 오르나요?", "KOSPI 🔥"]
TEXTS = HARD_TEXTS + SENTENCES


def test_an_item_becomes_its_query_and_its_texts() -> None:
    step = QueryTexts(Path(), query_prompt="질문: ", text_prompt="문서: ")
    rows = step(column("q", "r"), np.array([["a"], ["b"]], dtype=object))
    assert rows["input_text"].tolist() == [["질문: q"], ["문서: a"], ["질문: r"], ["문서: b"]]
    assert rows["row_item"].tolist() == [[0], [0], [1], [1]]


def test_rows_may_say_how_long_their_prompts_are() -> None:
    step = QueryTexts(Path(), query_prompt="질문: ", prompt_lengths=[4, 0])
    rows = step(column("q", "r"), np.array([["a", "b"], ["c", "d"]], dtype=object))
    assert rows["prompt_length"].tolist() == [[4], [0], [0], [4], [0], [0]]


@pytest.mark.parametrize(
    ("metric", "scores"), [("dot", [2, 12]), ("euclidean", [-(2**0.5), -5]), ("manhattan", [-2, -7])]
)
def test_vectors_may_be_compared_otherwise(metric: str, scores: list[float]) -> None:
    vectors = np.array([[2, 0], [1, 1], [6, 3]], dtype=np.float32)
    answer = Similarity(Path(), size=2, metric=metric)(vectors, np.zeros((3, 1), dtype=np.int32))
    np.testing.assert_allclose(answer["scores"], [scores], rtol=1e-6)
    assert answer["ranking"].tolist() == [[1, 0] if metric == "dot" else [0, 1]]


def test_cosines_need_no_vectors_of_length_one() -> None:
    vectors = np.array([[2, 0], [0, 3], [5, 0], [0, 0]], dtype=np.float32)
    answer = Similarity(Path(), size=2)(vectors, np.zeros((4, 1), dtype=np.int32))
    assert answer["scores"].tolist() == [[0, 1, 0]]
    assert answer["ranking"].tolist() == [[1, 0, 2]]
    assert "json" not in answer
    said = Similarity(Path(), size=2)(vectors, np.zeros((4, 1), dtype=np.int32), json=True)["json"][0, 0]
    assert json.loads(said) == [{"index": 1, "score": 1}, {"index": 0, "score": 0}, {"index": 2, "score": 0}]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_equals_the_cosines_of_pytorchs_vectors(exports: Callable[..., Pair], tmp_path: Path, family: str) -> None:
    pair = exports(family, "AutoModel", "similarity")
    served = Served(tmp_path, "similarity", pair.exported, {"pooling": "cls"})
    texts = np.array([TEXTS] * len(QUERIES), dtype=object)
    answer = served.ask("bls", {"query": column(*QUERIES), "texts": texts})
    expected = pooled(pair, QUERIES, "cls") @ pooled(pair, TEXTS, "cls").T
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-4)
