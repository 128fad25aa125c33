import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tbgen.backends.regression import Regression
from tbgen.backends.softmax_classification import TextClassification as SoftmaxClassification
from tbgen.backends.text_classification import TextClassification
from tests.backends.conftest import Pair
from tests.backends.served import Served, column, rows
from tests.texts import HARD_TEXTS, SENTENCES

TEXTS = HARD_TEXTS + SENTENCES
LOGITS = np.array([[0.0, 0.0, np.log(2.0)], [5.0, 0.0, 0.0]], dtype=np.float32)


def test_the_best_class_its_name_and_its_probability() -> None:
    step = TextClassification(Path(), labels=["부정", "중립", "긍정"])
    answer = step(LOGITS)
    assert answer["label"].tolist() == [["긍정"], ["부정"]]
    assert answer["label_index"].tolist() == [[2], [0]]
    np.testing.assert_allclose(answer["softmax"][0], [0.25, 0.25, 0.5], atol=1e-6)
    np.testing.assert_allclose(answer["score"], [[0.5], [0.986703]], atol=1e-5)


def test_the_best_few_are_named_best_first() -> None:
    step = TextClassification(Path(), labels=["부정", "중립", "긍정"])
    answer = step(LOGITS, top_k=2)
    assert answer["top_labels"].tolist() == [["긍정", "부정"], ["부정", "중립"]]
    np.testing.assert_allclose(answer["top_scores"][0], [0.5, 0.25], atol=1e-6)


def test_of_many_classes_those_that_reach_the_threshold_count() -> None:
    step = TextClassification(Path(), labels=["a", "b", "c"], activation="sigmoid")
    answer = step(np.array([[2.0, -1.0, 3.0], [-1.0, -1.0, -1.0]], dtype=np.float32))
    assert answer["top_count"].tolist() == [[2], [0]]
    assert answer["top_labels"].tolist() == [["c", "a"], ["", ""]]
    assert answer["label"].tolist() == [["c"], ["a"]]
    second = step.trim({name: array[1:] for name, array in answer.items()})
    assert second["top_labels"].shape == second["top_scores"].shape == (1, 0)


def test_a_request_sets_the_threshold() -> None:
    step = TextClassification(Path(), labels=["a", "b", "c"], activation="sigmoid")
    answer = step(np.array([[2.0, -1.0, 3.0]], dtype=np.float32), threshold=0.0, top_k=5)
    assert answer["top_labels"].tolist() == [["c", "a", "b"]]


def test_logits_beyond_the_range_of_exp() -> None:
    extreme = np.array([[1000.0, -1000.0]], dtype=np.float32)
    assert TextClassification(Path(), labels=["a", "b"])(extreme)["softmax"].tolist() == [[1.0, 0.0]]
    sigmoid = TextClassification(Path(), labels=["a", "b"], activation="sigmoid")
    assert sigmoid(extreme)["sigmoid"].tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("classes", [1, 3, 65])
def test_a_row_alone_gets_the_bits_that_it_gets_in_a_batch(activation: str, classes: int) -> None:
    logits = np.random.default_rng(classes).normal(scale=4, size=(300, classes)).astype(np.float32)
    logits[:20] = np.round(logits[:20])  # classes of equal score stay in their order
    logits[20, 0] = logits[21, -1] = np.nan
    step = TextClassification(Path(), labels=[f"class {index}" for index in range(classes)], activation=activation)
    together = step(logits, logits=True, json=True)
    for row in range(len(logits)):
        alone = step(logits[row : row + 1], logits=True, json=True)
        own = {name: array[row : row + 1] for name, array in together.items()}
        for name, array in (own | step.trim(own)).items():
            assert alone[name].dtype == array.dtype
            np.testing.assert_array_equal(alone[name], array)


def test_the_head_of_one_right_class_alone_gives_what_the_other_gives() -> None:
    plain, full = (kind(Path(), labels=["a", "b", "c"]) for kind in (SoftmaxClassification, TextClassification))
    assert (plain.outputs, plain.parameters) == (full.outputs, full.parameters)
    answers = [step(LOGITS, top_k=2, json=True, logits=True) for step in (plain, full)]
    assert {name: array.tolist() for name, array in answers[0].items()} == {
        name: array.tolist() for name, array in answers[1].items()
    }


@pytest.mark.parametrize("rows", [1, 2])
def test_classes_whose_scores_round_alike_are_told_apart_by_their_logits(rows: int) -> None:
    step = TextClassification(Path(), labels=["a", "b"], activation="sigmoid")
    answer = step(np.array([[20.0, 30.0]] * rows, dtype=np.float32))
    assert answer["sigmoid"].tolist() == [[1.0, 1.0]] * rows
    assert answer["label"].tolist() == [["b"]] * rows


def test_logits_and_json_are_given_when_asked_for() -> None:
    logits = np.array([[2.0, 0.5]], dtype=np.float32)
    step = TextClassification(Path(), labels=["a", "b"])
    assert not {"logits", "json"} & step(logits).keys()
    assert step(logits, logits=True)["logits"].tolist() == [[2.0, 0.5]]
    assert [row["label"] for row in json.loads(step(logits, json=True, top_k=1)["json"][0, 0])] == ["a"]
    always = TextClassification(Path(), labels=["a", "b"], extras=["logits"])
    assert always(logits, logits=False)["logits"].tolist() == [[2.0, 0.5]]
    assert (step.on_request, always.on_request) == (("logits", "json"), ("json",))


def test_a_regression_gives_its_values() -> None:
    step = Regression(Path(), labels=["stars"], extras=["json"])
    answer = step(np.array([[3.5]], dtype=np.float32))
    assert answer["value"].tolist() == [[3.5]]
    assert json.loads(answer["json"][0, 0]) == [{"label": "stars", "score": 3.5}]


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_equals_the_pipeline(exports: Callable[..., Pair], tmp_path: Path, family: str, graph: str) -> None:
    pair = exports(family, "AutoModelForSequenceClassification", "text-classification")
    expected = pair.pipeline("text-classification", top_k=None)(TEXTS, truncation=True, max_length=40)
    served = Served(tmp_path, "text-classification", pair.exported, {"json": True, "logits": True})
    answer = served.ask(graph, {"input_text": column(*TEXTS)})
    for item, row in enumerate(expected):
        assert answer["top_labels"][item].tolist() == [choice["label"] for choice in row]
        np.testing.assert_allclose(answer["top_scores"][item], [choice["score"] for choice in row], atol=1e-4)
        assert [choice["label"] for choice in json.loads(answer["json"][item, 0])] == [c["label"] for c in row]
    np.testing.assert_allclose(
        np.exp(answer["logits"]).sum(axis=1) * answer["softmax"].T, np.exp(answer["logits"]).T, rtol=1e-4
    )
    assert served.ask(graph, {"input_text": column(*TEXTS)}, top_k=1)["top_labels"].shape == (len(TEXTS), 1)


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_pairs_equal_the_pipeline(exports: Callable[..., Pair], tmp_path: Path, graph: str) -> None:
    pair = exports("bert", "AutoModelForSequenceClassification", "text-classification")
    seconds = [*TEXTS[::-1][:-1], ""]
    inputs = [{"text": one, "text_pair": other} for one, other in zip(TEXTS, seconds, strict=True)]
    expected = pair.pipeline("text-classification")(inputs, truncation=True, max_length=40)
    served = Served(tmp_path, "text-classification", pair.exported, {"pair": True})
    answer = served.ask(graph, {"input_text": column(*TEXTS), "text_pair": column(*seconds)})
    assert answer["label"][:, 0].tolist() == [row["label"] for row in expected]
    np.testing.assert_allclose(answer["score"][:, 0], [row["score"] for row in expected], atol=1e-4)


@pytest.mark.parametrize("long_text", ["truncate", "windows"])
def test_a_pair_with_nothing_is_one_text_to_the_pipeline(
    exports: Callable[..., Pair], tmp_path: Path, long_text: str
) -> None:
    pair = exports("bert", "AutoModelForSequenceClassification", "text-classification")
    firsts, seconds = ["금리는 동결", "", "the bank", ""], ["", "the bank", "rose", ""]
    served = Served(tmp_path, "text-classification", pair.exported, {"pair": True}, long_text=long_text)
    answer = served.ask("bls", {"input_text": column(*firsts), "text_pair": column(*seconds)})
    pipe = pair.pipeline("text-classification", top_k=None)
    for item, (one, other) in enumerate(zip(firsts, seconds, strict=True)):
        scores = {choice["label"]: choice["score"] for choice in pipe({"text": one, "text_pair": other})}
        found = [scores[label] for label in pair.exported.labels]
        np.testing.assert_allclose(answer["softmax"][item], found, atol=1e-4)


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_many_labels_equal_the_pipeline(exports: Callable[..., Pair], tmp_path: Path, graph: str) -> None:
    labels = ("politics", "경제", "sports", "문화")
    pair = exports(
        "bert", "AutoModelForSequenceClassification", "text-classification", labels, "multi_label_classification"
    )
    expected = pair.pipeline("text-classification", top_k=None)(TEXTS, truncation=True, max_length=40)
    answer = Served(tmp_path, "text-classification", pair.exported).ask(
        graph, {"input_text": column(*TEXTS)}, threshold=0.4
    )
    for item, row in enumerate(expected):
        above = [choice for choice in row if choice["score"] >= 0.4]
        found = rows(answer, item, "top_count", "top_labels", "top_scores")
        assert [label for label, _ in found] == [choice["label"] for choice in above]
        np.testing.assert_allclose([s for _, s in found], [choice["score"] for choice in above], atol=1e-4)


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_one_label_equals_the_pipeline(exports: Callable[..., Pair], tmp_path: Path, graph: str) -> None:
    pair = exports("bert", "AutoModelForSequenceClassification", "text-classification", ("스팸",))
    expected = pair.pipeline("text-classification")(TEXTS, truncation=True, max_length=40)
    answer = Served(tmp_path, "text-classification", pair.exported).ask(graph, {"input_text": column(*TEXTS)})
    assert answer["label"][:, 0].tolist() == [row["label"] for row in expected]
    np.testing.assert_allclose(answer["score"][:, 0], [row["score"] for row in expected], atol=1e-4)
    assert answer["sigmoid"].shape == (len(TEXTS), 1)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_a_person_may_choose_the_activation(exports: Callable[..., Pair], tmp_path: Path, activation: str) -> None:
    pair = exports("bert", "AutoModelForSequenceClassification", "text-classification")
    expected = pair.pipeline("text-classification", top_k=None, function_to_apply=activation)(
        TEXTS, truncation=True, max_length=40
    )
    served = Served(tmp_path, "text-classification", pair.exported, {"activation": activation})
    answer = served.ask("bls", {"input_text": column(*TEXTS)})
    for item, row in enumerate(expected):
        by_label = {choice["label"]: choice["score"] for choice in row}
        scores = answer["value" if activation == "none" else activation][item]
        np.testing.assert_allclose(scores, [by_label[label] for label in pair.exported.labels], atol=1e-4)


def test_a_regression_equals_the_pipeline(exports: Callable[..., Pair], tmp_path: Path) -> None:
    pair = exports("bert", "AutoModelForSequenceClassification", "text-classification", ("stars",), "regression")
    expected = pair.pipeline("text-classification")(TEXTS, truncation=True, max_length=40)
    answer = Served(tmp_path, "text-classification", pair.exported).ask("bls", {"input_text": column(*TEXTS)})
    np.testing.assert_allclose(answer["value"][:, 0], [row["score"] for row in expected], atol=1e-4)
