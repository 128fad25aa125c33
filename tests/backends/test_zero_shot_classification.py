import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tbgen.backends.zero_shot_classification import Hypotheses, ZeroShotClassification
from tbgen.export.errors import UserError
from tests.backends.conftest import Pair
from tests.backends.served import Served, column
from tests.texts import HARD_TEXTS, SENTENCES

TEXTS = [text for text in HARD_TEXTS + SENTENCES if text]  # the pipeline refuses an empty text
CANDIDATES = ["금리", "sports", "🔥", "politics and more"]
ONE_PLACE = "parameter hypothesis_template takes a sentence with one {} and no other brace"
NLI = ("AutoModelForSequenceClassification", "zero-shot-classification", ("contradiction", "neutral", "entailment"))


def labels(*names: str, items: int = 1) -> np.ndarray:
    return np.array([names] * items, dtype=object).reshape(items, len(names))


def test_each_label_becomes_a_sentence() -> None:
    rows = Hypotheses(Path(), hypothesis_template="이 글은 {}에 관한 것이다.")(column("글"), labels("금리", "환율"))
    assert rows["text_pair"].tolist() == [["이 글은 금리에 관한 것이다."], ["이 글은 환율에 관한 것이다."]]
    assert rows["input_text"].tolist() == [["글"], ["글"]]


@pytest.mark.parametrize(
    ("names", "template", "sentence"),
    [
        ((), None, "candidate_labels has 0 entries for item 0; it takes 1 to 100"),
        (("a",) * 10_000, None, "candidate_labels has 10000 entries for item 0; it takes 1 to 100"),
        (("a", " "), None, "candidate_labels of item 0 has an empty entry, number 1"),
        (("a",), "no place", f"{ONE_PLACE}, not 'no place'"),
        (("a",), "{} {}", f"{ONE_PLACE}, not '{{}} {{}}'"),
        (("a",), "{{a}} {}", f"{ONE_PLACE}, not '{{{{a}}}} {{}}'"),
        (("a",), "{}" + "x" * 999, "parameter hypothesis_template has 1001 characters, at most 1000"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(names: tuple[str, ...], template: str | None, sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        Hypotheses(Path())(column("글"), labels(*names), hypothesis_template=template)
    assert str(error.value) == sentence


def test_logits_beyond_the_range_of_exp() -> None:
    """The pipeline gives nan here."""
    step = ZeroShotClassification(Path(), labels=["contradiction", "entailment"])
    answer = step(np.array([[0, 10], [0, 1000]], np.float32), np.zeros((2, 1), np.int32), labels("a", "b"))
    assert (answer["labels"].tolist(), answer["scores"].tolist()) == ([["b", "a"]], [[1, 0]])


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("candidates", [CANDIDATES, CANDIDATES[:1]])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_equals_the_pipeline(
    exports: Callable[..., Pair], tmp_path: Path, family: str, candidates: list[str], multi_label: bool
) -> None:
    pair = exports(family, *NLI)
    settings = {"hypothesis_template": "It is {}.", "multi_label": multi_label}
    expected = pair.pipeline("zero-shot-classification")(TEXTS, candidates, **settings)
    served = Served(tmp_path, "zero-shot-classification", pair.exported, {"json": True})
    request = {"input_text": column(*TEXTS), "candidate_labels": labels(*candidates, items=len(TEXTS))}
    answer = served.ask("bls", request, **settings)
    for item, row in enumerate(expected):
        assert answer["labels"][item].tolist() == row["labels"]
        np.testing.assert_allclose(answer["scores"][item], row["scores"], atol=1e-4)
        assert json.loads(answer["json"][item, 0])["labels"] == row["labels"]


def test_a_model_that_knows_no_entailment_is_refused(exports: Callable[..., Pair], tmp_path: Path) -> None:
    pair = exports("bert", "AutoModelForSequenceClassification", "text-classification")
    with pytest.raises(
        UserError, match=r"needs a class that begins with 'entail', this checkpoint has 부정, 중립, 긍정"
    ):
        Served(tmp_path, "zero-shot-classification", pair.exported)
