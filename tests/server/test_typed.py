"""Answers by task: lists side by side become lists of objects, and tables show them."""

from __future__ import annotations

from typing import Any

import pytest

from tbgen.cli.show import cell_text, table_of_answers
from tbgen.server.client.typed import typed_answer

NO_ITEM: dict[str, Any] = {}
ENTITIES = {
    "entities_count": 1,
    "entities_word": ["삼성전자", ""],
    "entities_label": ["ORG", ""],
    "entities_score": [0.98, 0.0],
    "entities_start": [0, 0],
    "entities_end": [4, 0],
}
LABELS = {"label_index": 2, "softmax": [0.1, 0.9], "label": "긍정", "score": 0.9}


@pytest.mark.parametrize(
    ("answer", "typed", "shown"),
    [
        (
            ENTITIES,
            {"entities": [{"word": "삼성전자", "label": "ORG", "score": 0.98, "start": 0, "end": 4}]},
            "삼성전자 ORG 0.9800 [0:4]",
        ),
        (
            {"answer_count": 1, "answer_text": [""], "answer_score": [0.5], "answer_start": [0], "answer_end": [0]},
            {"answers": [{"text": "", "score": 0.5, "start": 0, "end": 0}]},
            '"" 0.5000 [0:0]',
        ),
        (
            {
                "mask_count": 1,
                "tokens": [["급등", "급락"], ["", ""]],
                "token_ids": [[7, 8], [0, 0]],
                "token_scores": [[0.7, 0.2], [0.0, 0.0]],
                "filled_text": [["주가 급등", "주가 급락"], ["", ""]],
            },
            {
                "masks": [
                    [
                        {"token": "급등", "id": 7, "score": 0.7, "text": "주가 급등"},
                        {"token": "급락", "id": 8, "score": 0.2, "text": "주가 급락"},
                    ]
                ]
            },
            "급등 0.7000, 급락 0.2000",
        ),
        (
            {"token_count": 1, "token_ids": [7, 0], "token_weights": [1.5, 0.0], "tokens": ["주가", ""]},
            {"tokens": [{"token": "주가", "id": 7, "weight": 1.5}]},
            "주가 1.5000",
        ),
        (
            {"labels": ["경제", "날씨"], "scores": [0.75, 0.25]},
            {"labels": [{"label": "경제", "score": 0.75}, {"label": "날씨", "score": 0.25}]},
            "경제 0.7500\n날씨 0.2500",
        ),
    ],
)
def test_lists_side_by_side_are_objects(answer: dict[str, Any], typed: dict[str, Any], shown: str) -> None:
    assert typed_answer(NO_ITEM, answer) == typed
    (value,) = typed.values()
    assert cell_text(value) == shown


def test_a_ranking_has_its_texts() -> None:
    item, answer = {"query": "금리", "texts": ["비", "올랐다"]}, {"scores": [0.1, 0.9], "ranking": [1, 0]}
    found = typed_answer(item, answer)
    assert found == {
        "results": [{"index": 1, "text": "올랐다", "score": 0.9}, {"index": 0, "text": "비", "score": 0.1}]
    }
    table = table_of_answers([(item, found)])
    assert [next(iter(column.cells)).plain for column in table.columns] == ["금리", "올랐다 0.9000\n비 0.1000"]  # type: ignore[union-attr]


def test_one_best_label_is_enough_until_more_are_asked_for() -> None:
    found = typed_answer({"text": "글"}, LABELS | {"top_labels": ["긍정", "부정"], "top_scores": [0.9, 0.1]})
    assert found == LABELS | {"labels": [{"label": "긍정", "score": 0.9}, {"label": "부정", "score": 0.1}]}
    names = [
        [column.header for column in table_of_answers([({"text": "글"}, found)], every=every).columns]
        for every in (False, True)
    ]
    assert names == [["text", "label_index", "label", "score"], ["text", "label_index", "label", "score", "labels"]]


def test_none_found_is_shown_too() -> None:
    none = typed_answer(NO_ITEM, {name: 0 if name == "entities_count" else [] for name in ENTITIES})
    some = typed_answer(NO_ITEM, ENTITIES)
    table = table_of_answers([({"text": "비"}, none), ({"text": "삼성전자"}, some)])
    assert [cell.plain for cell in table.columns[1].cells] == ["", "삼성전자 ORG 0.9800 [0:4]"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "answer",
    [
        {"embedding": [0.5, 0.25]},
        {"labels": ["하나"], "scores": 0.5},  # of a step of one's own
        {"labels": ["하나", "둘"], "scores": [0.5]},
        {"scores": [0.5, 0.25], "ranking": [0, -1]},
        {"scores": [0.5, 0.25], "ranking": [0, 2]},
        *({"top_labels": ["하나"], "top_scores": [0.5], "top_count": count} for count in (-1, 2, "1")),
    ],
)
def test_anything_else_stays_as_it_is(answer: dict[str, Any]) -> None:
    assert typed_answer(NO_ITEM, answer) == answer
