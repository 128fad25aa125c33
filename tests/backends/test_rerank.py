import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from tbgen.backends.rerank import QueryPairs, Rerank
from tbgen.export.errors import UserError
from tests.backends.conftest import Pair
from tests.backends.served import Served, column
from tests.texts import HARD_TEXTS, SENTENCES

QUERIES = ["금리가 오르나요?", "KOSPI 🔥"]
TEXTS = HARD_TEXTS + SENTENCES
ONE_CLASS = ("AutoModelForSequenceClassification", "rerank", ("score",))


def request(*queries: str) -> dict[str, np.ndarray]:
    return {"query": column(*queries), "texts": np.array([TEXTS] * len(queries), dtype=object)}


def test_an_item_becomes_a_row_for_each_text() -> None:
    rows = QueryPairs(Path())(column("q", "r"), np.array([["a", "b"], ["c", "d"]], dtype=object))
    assert rows["input_text"].tolist() == [["q"], ["q"], ["r"], ["r"]]
    assert rows["text_pair"].tolist() == [["a"], ["b"], ["c"], ["d"]]
    assert rows["row_item"].tolist() == [[0], [0], [1], [1]]


@pytest.mark.parametrize("count", [0, 4])
def test_the_number_of_texts_is_checked(count: int) -> None:
    texts = np.full((1, count), "a", dtype=object)
    with pytest.raises(ValueError, match=f"texts has {count} entries for item 0; it takes 1 to 3"):
        QueryPairs(Path(), max_texts=3)(column("q"), texts)


def test_scores_are_in_the_order_of_the_texts_and_the_ranking_names_the_best_first() -> None:
    rows = np.array([[0], [0], [1], [1]], dtype=np.int32)
    answer = Rerank(Path(), sigmoid=False)(np.array([[-1], [2], [5], [5]], dtype=np.float32), rows)
    assert answer["scores"].tolist() == [[-1, 2], [5, 5]]
    assert answer["ranking"].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("activation", "scores", "ranking"),
    [("Tanh", np.tanh([-1, 2]), [1, 0]), ("ReLU", [0, 2], [1, 0]), ("Softmax", [1, 1], [0, 1])],
)
def test_scores_go_through_the_activation_that_was_saved(activation: str, scores: Any, ranking: list[int]) -> None:
    given = np.array([[-1], [2]], dtype=np.float32), np.zeros((2, 1), dtype=np.int32)
    answer = Rerank(Path(), activation=activation)(*given)
    np.testing.assert_allclose(answer["scores"], [scores], rtol=1e-6)
    assert answer["ranking"].tolist() == [ranking]
    assert Rerank(Path(), activation=activation)(*given, sigmoid=False)["scores"].tolist() == [[-1, 2]]


def test_json_names_the_best_first_to_those_who_ask() -> None:
    given = np.array([[-1], [2]], dtype=np.float32), np.zeros((2, 1), dtype=np.int32)
    assert "json" not in Rerank(Path())(*given)
    for answer in (
        Rerank(Path(), sigmoid=False)(*given, json=True),
        Rerank(Path(), sigmoid=False, extras=["json"])(*given),
    ):
        assert json.loads(answer["json"][0, 0]) == [{"index": 1, "score": 2}, {"index": 0, "score": -1}]


def test_a_request_may_ask_for_probabilities() -> None:
    rows = np.zeros((2, 1), dtype=np.int32)
    answer = Rerank(Path(), sigmoid=False)(np.array([[0], [1000]], dtype=np.float32), rows, sigmoid=True)
    assert answer["scores"].tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_equals_pytorch(exports: Callable[..., Pair], tmp_path: Path, family: str) -> None:
    pair = exports(family, *ONE_CLASS)
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(pair.folder).eval(), pair.tokenizer
    answer = Served(tmp_path, "rerank", pair.exported).ask("bls", request(*QUERIES), sigmoid=False)
    for item, query in enumerate(QUERIES):
        both = tokenizer([query] * len(TEXTS), TEXTS, truncation=True, padding=True, return_tensors="pt")
        with torch.no_grad():
            expected = model(**both).logits[:, 0].numpy()
        np.testing.assert_allclose(answer["scores"][item], expected, atol=1e-4)
        assert answer["ranking"][item].tolist() == np.argsort(-answer["scores"][item], kind="stable").tolist()


@pytest.mark.filterwarnings("ignore")
def test_equals_the_cross_encoder(exports: Callable[..., Pair], tmp_path: Path) -> None:
    import sentence_transformers as package

    pair = exports("roberta", *ONE_CLASS)
    expected = package.CrossEncoder(str(pair.folder)).predict([(QUERIES[0], text) for text in TEXTS])
    answer = Served(tmp_path, "rerank", pair.exported).ask("bls", request(QUERIES[0]))
    np.testing.assert_allclose(answer["scores"][0], expected, atol=1e-4)


def test_a_model_with_several_classes_cannot_rank(exports: Callable[..., Pair], tmp_path: Path) -> None:
    pair = exports("bert", "AutoModelForSequenceClassification", "text-classification")
    with pytest.raises(
        UserError, match=r"rerank needs a checkpoint with one output, this one has 3 \(부정, 중립, 긍정\)"
    ):
        Served(tmp_path, "rerank", pair.exported)
