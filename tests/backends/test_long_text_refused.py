"""Texts longer than the model that are refused, and what of long texts makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbgen.backends.windows import TextWindows, Windows
from tbgen.export.errors import UserError
from tbgen.export.tasks.table import TASKS
from tbgen.export.tasks.task import Task
from tbgen.generator.models.long_text import task_for
from tests.backends.conftest import Pair
from tests.backends.served import Served, Tensors, column
from tests.backends.test_long_text import LONG, pair_of
from tests.texts import SENTENCES


def test_a_text_of_too_many_windows_and_a_pair_without_room_are_refused(word_tokenizer: Path) -> None:
    step = TextWindows(word_tokenizer, max_length=10, buckets=[10], stride=2, tensors=["input_ids"], max_windows=3)
    assert len(step(input_text=column("a", "a " * 20))["input_ids"]) == 4
    with pytest.raises(ValueError, match="input_text of item 1: 21 tokens; at most 20 can be read in windows"):
        step(input_text=column("a", "a " * 21))
    pairs = TextWindows(
        word_tokenizer,
        max_length=10,
        buckets=[10],
        stride=2,
        tensors=["input_ids"],
        texts=("query", "text"),
        cut="second",
    )
    with pytest.raises(ValueError, match="query and text of item 0: 15 tokens, of which 5 can be cut into windows"):
        pairs(query=column("a " * 7), text=column("b " * 5))


def test_more_characters_than_others_can_wait_for_are_refused(word_tokenizer: Path) -> None:
    settings: dict[str, Any] = {"max_length": 10, "buckets": [10], "stride": 2, "tensors": ["input_ids"]}
    text = "a" * 1_000_000
    with pytest.raises(
        ValueError, match="all texts counted as 16000001 characters; at most 16000000 are read: send less"
    ):
        TextWindows(word_tokenizer, **settings)(input_text=column(*[text] * 16, "a"))
    with pytest.raises(
        ValueError, match="a text counted as 1000001 characters; at most 1000000 are read: send less at once"
    ):
        Windows(word_tokenizer, **settings)(question=column("a"), context=column(text + "a"))


@pytest.mark.parametrize(
    ("task", "tensors", "sentence"),
    [
        ("text-classification", {"input_text": column("a", LONG[1])}, "input_text of item 1: 74 tokens; the model"),
        (
            "embedding",
            {"input_text": column("a", LONG[1])},
            "input_text of item 1: 74 tokens; the model takes at most 40",
        ),
        (
            "rerank",
            {"query": column("q", "q"), "texts": np.array([["a", "b"], ["a", LONG[1]]], object)},
            "query and texts of item 1, entry 1: 76 tokens; the model takes at most 40",
        ),
        (
            "similarity",
            {"query": column("q", LONG[1]), "texts": np.array([["a"], ["b"]], object)},
            "query of item 1: 74 tokens; the model takes at most 40",
        ),
        (
            "similarity",
            {"query": column("q", "q"), "texts": np.array([["a"], [LONG[1]]], object)},
            "texts of item 1, entry 0: 74 tokens; the model takes at most 40",
        ),
        (
            "zero-shot-classification",
            {"input_text": column(LONG[1]), "candidate_labels": np.array([["a"]], object)},
            "input_text and candidate_labels of item 0, entry 0: ",
        ),
    ],
)
def test_long_texts_can_be_rejected(
    exports: Callable[..., Pair], tmp_path: Path, task: str, tensors: Tensors, sentence: str
) -> None:
    served = Served(tmp_path, task, pair_of(exports, task).exported, long_text="reject")
    with pytest.raises(ValueError) as error:
        served.ask("bls", tensors)
    assert sentence in str(error.value)
    if "ensemble" in served.graphs:
        with pytest.raises(ValueError, match=sentence):
            served.ask("ensemble", tensors)


def test_question_answering_can_refuse_a_context_of_several_windows(
    exports: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = exports("bert", "AutoModelForQuestionAnswering", "question-answering", ("start", "end"))
    served = Served(tmp_path, "question-answering", pair.exported, long_text="reject")
    fits = {"question": column("금리는?"), "context": column(SENTENCES[2])}
    usual = Served(tmp_path / "usual", "question-answering", pair.exported, long_text="windows").ask("bls", fits)
    assert served.ask("bls", fits)["answer_text"].tolist() == usual["answer_text"].tolist()
    with pytest.raises(ValueError, match="context of item 0 has 72 tokens; at most 35 can be read"):
        served.ask("bls", fits | {"context": column(LONG[1])})


@pytest.mark.parametrize(
    ("task", "long_text", "sentence"),
    [
        ("fill-mask", "windows", f"fill-mask cannot read windows: {TASKS['fill-mask'].no_windows}"),
        ("polarity", "windows", "polarity cannot read windows: no rule says how its answers would be merged"),
        ("question-answering", "truncate", "question-answering reads a long context in windows"),
    ],
)
def test_what_makes_no_sense_is_refused(task: str, long_text: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        task_for(task, TASKS.get(task, Task(lambda *_: (), like="text-classification")), long_text)
    assert sentence in error.value.message


@pytest.mark.parametrize(
    ("task", "options", "sentence"),
    [
        ("embedding", {"stride": 20}, "a stride of 20 is too long for windows of 40 tokens"),
        ("sparse-embedding", {"pooling": "sum"}, "windows are merged by the largest weight"),
    ],
)
def test_options_that_do_not_fit(
    exports: Callable[..., Pair], tmp_path: Path, task: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as error:
        Served(tmp_path, task, pair_of(exports, task).exported, options, long_text="windows")
    assert sentence in error.value.message
