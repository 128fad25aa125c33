import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import models
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from tbgen.backends.question_answering import QuestionAnswering
from tbgen.backends.windows import Windows
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.onnx.export import onnx_from_checkpoint
from tests.backends.conftest import Pair
from tests.backends.served import Served, column, rows
from tests.backends.spans import spans_by_the_rule
from tests.export.checkpoints import BERT_TOKENS, checkpoint, save_tokenizer, wordpiece
from tests.texts import SENTENCES

QUESTIONS = ["금리는?", "What rose?", "🔥 상한가", "은행"]
CONTEXTS = [SENTENCES[0], SENTENCES[1], " ".join(SENTENCES[:6]), " ".join(reversed(SENTENCES))]
NAMES = ("answer_text", "answer_start", "answer_end", "answer_score")


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize(
    ("words", "longest", "no_answer", "top_k"), [(True, 15, False, 1), (True, 4, True, 3), (False, 15, True, 5)]
)
def test_equals_the_rule(
    exports: Callable[..., Pair], tmp_path: Path, family: str, words: bool, longest: int, no_answer: bool, top_k: int
) -> None:
    pair = exports(family, "AutoModelForQuestionAnswering", "question-answering", ("start", "end"))
    served = Served(tmp_path, "question-answering", pair.exported, {"window": 24, "stride": 6, "json": True})
    parameters = {"top_k": top_k, "max_answer_len": longest, "no_answer": no_answer, "align_to_words": words}
    answer = served.ask("bls", {"question": column(*QUESTIONS), "context": column(*CONTEXTS)}, **parameters)
    tokenizer, model = pair.tokenizer, AutoModelForQuestionAnswering.from_pretrained(pair.folder).eval()
    rule: dict[str, Any] = {"words": words, "longest": longest, "no_answer": no_answer, "top_k": top_k}
    for item, (question, context) in enumerate(zip(QUESTIONS, CONTEXTS, strict=True)):
        expected = spans_by_the_rule(tokenizer, model, question, context, {"max_length": 24, "stride": 6}, **rule)
        found = rows(answer, item, "answer_count", *NAMES)
        assert [row[:3] for row in found] == [row[:3] for row in expected]
        np.testing.assert_allclose([row[3] for row in found], [row[3] for row in expected], atol=1e-4)
        assert [row["text"] for row in json.loads(answer["json"][item, 0])] == [row[0] for row in expected]


def of_side(folder: Path, **settings: str) -> Path:
    """A checkpoint whose tokenizer_config.json names a side."""
    checkpoint(folder, "bert", "AutoModelForQuestionAnswering", id2label={0: "start", 1: "end"})
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | settings), encoding="utf-8")
    return folder


def test_windows_are_cut_from_the_side_that_is_kept(tmp_path: Path) -> None:
    folder = of_side(tmp_path / "checkpoint", truncation_side="left")
    exported = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "export")
    served = Served(tmp_path / "served", "question-answering", exported, {"window": 24, "stride": 6})
    answer = served.ask("bls", {"question": column(*QUESTIONS), "context": column(*CONTEXTS)}, top_k=3)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    for item, (question, context) in enumerate(zip(QUESTIONS, CONTEXTS, strict=True)):
        expected = spans_by_the_rule(tokenizer, model, question, context, {"max_length": 24, "stride": 6}, top_k=3)
        found = rows(answer, item, "answer_count", *NAMES)
        assert [row[:3] for row in found] == [row[:3] for row in expected]
        np.testing.assert_allclose([row[3] for row in found], [row[3] for row in expected], atol=1e-4)


def test_a_question_behind_its_context_is_refused(tmp_path: Path) -> None:
    folder = of_side(tmp_path / "checkpoint", padding_side="left")
    with pytest.raises(UserError, match="pads at the left, for which transformers put the question behind its context"):
        checkpoint_from_folder(folder)


def windows(folder: Path, **settings: Any) -> Windows:
    return Windows(
        folder,
        **{"max_length": 8, "buckets": [8], "stride": 1, "tensors": ["input_ids", "attention_mask", "token_type_ids"]}
        | settings,
    )


def test_a_long_context_becomes_overlapping_rows(word_tokenizer: Path) -> None:
    answer = windows(word_tokenizer)(column("q", "r"), column("a b c d e f", "x"))
    assert answer["row_item"].tolist() == [[0], [0], [1]]
    assert answer["input_ids"].tolist() == [
        [2, 20, 3, 4, 5, 6, 7, 3],
        [2, 20, 3, 7, 8, 9, 3, 0],
        [2, 21, 3, 27, 3, 0, 0, 0],
    ]
    assert answer["context_mask"].tolist()[1] == [0, 0, 0, 1, 1, 1, 0, 0]
    assert answer["offsets"][1, 3].tolist() == [6, 7]


@pytest.mark.parametrize(
    ("question", "context", "sentence"),
    [
        ("q", " \n", "context of item 1 is empty"),
        ("", "a", "question of item 1 is empty"),
        ("q q q q", "a b c", "question of item 1 has 4 tokens; at most 3 leave room for windows"),
        ("q", "a " * 10, "context of item 1 has 10 tokens; at most 9 can be read"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(word_tokenizer: Path, question: str, context: str, sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        windows(word_tokenizer, max_windows=3)(column("q", question), column("a", context))
    assert str(error.value) == sentence


def test_a_long_question_is_read_when_its_context_is_short(word_tokenizer: Path) -> None:
    assert windows(word_tokenizer)(column("q q q q"), column("a"))["input_ids"].shape == (1, 8)


def test_answers_of_one_wording_are_one_answer(word_tokenizer: Path) -> None:
    tokens = windows(word_tokenizer)(column("q"), column("A b a"))
    logits = np.array([[0, 0, 0, 5, 0, 5, 0, 0]], dtype=np.float32)
    given = {name: tokens[name] for name in ("context_mask", "offsets", "word_offsets", "row_item")}
    answer = QuestionAnswering(Path())(logits, logits, **given, context=column("A b a"), top_k=2)
    assert rows(answer, 0, "answer_count", *NAMES[:3]) == [("A", 0, 1), ("A b a", 0, 5)]


def seeded(folder: Path) -> Pair:
    """A checkpoint whose weights and vocabulary (letters, alone and as later parts of words) are always the same."""
    letters = sorted(set("".join(QUESTIONS + CONTEXTS)) - set(" \n\t\u3000"))
    pieces = [*BERT_TOKENS.values(), *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = wordpiece()
    tokenizer.model = models.WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]")
    settings = {"id2label": {0: "start", 1: "end"}, "vocab_size": len(pieces)}
    checkpoint(folder / "checkpoint", "bert", "AutoModelForQuestionAnswering", **settings)
    save_tokenizer(tokenizer, folder / "checkpoint")
    model = AutoModelForQuestionAnswering.from_pretrained(folder / "checkpoint")
    numbers = np.random.RandomState(7)
    for name, weights in sorted(model.state_dict().items()):
        if "LayerNorm" not in name and weights.dtype == torch.float32:
            weights.copy_(torch.from_numpy(numbers.normal(0, 0.4, tuple(weights.shape)).astype(np.float32)))
    model.save_pretrained(folder / "checkpoint")
    return Pair(
        folder / "checkpoint", onnx_from_checkpoint(checkpoint_from_folder(folder / "checkpoint"), folder / "e")
    )


# What the pipeline of transformers 4.57.3 answers with this checkpoint: top_k 3; then without whole words.
PIPELINE_4: list[list[tuple[str, int, int, float]]] = [
    [
        ("영업이익이 두 배 넘게 늘었다고", 9, 26, 0.048276),
        ("올해 영업이익이 두 배 넘게 늘었다고", 6, 26, 0.02482),
        ("삼성전자는 올해 영업이익이 두 배 넘게 늘었다고", 0, 26, 0.01952),
    ],
    [("anyone", 37, 43, 0.102156), ("better than anyone", 25, 43, 0.074234), ("anyone had expected", 37, 56, 0.056472)],
    [
        ("had expected", 76, 88, 0.045687),
        ("shares가 3.5% 올랐다", 119, 135, 0.037494),
        ("넘게 늘었다고 공시했다", 19, 31, 0.03127),
    ],
    [
        ("주가가 하루 만에 급락하며    spaces", 165, 189, 0.064634),
        ("주가가 하루", 30, 36, 0.062389),
        ("급락하며 주가가", 25, 33, 0.050568),
    ],
]
PIPELINE_4_TOKENS: list[list[tuple[str, int, int, float]]] = [
    [("했다", 29, 31, 0.007718), ("는 올해 영", 4, 10, 0.00763), ("익이 두", 12, 16, 0.00684)],
    [("anyon", 37, 42, 0.014393), ("yon", 39, 42, 0.012794), ("anyo", 37, 41, 0.008813)],
    [("시했", 28, 30, 0.009865), ("전일 대비)", 137, 143, 0.009633), ("s가 3.5", 124, 130, 0.009585)],
    [("sp", 183, 185, 0.02811), ("가가 하", 136, 140, 0.022734), ("락하며", 116, 119, 0.018799)],
]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"top_k": 3}, PIPELINE_4),
        ({"top_k": 3, "no_answer": True, "align_to_words": False, "max_answer_len": 5}, PIPELINE_4_TOKENS),
    ],
)
def test_equals_the_pipeline_of_transformers_4(tmp_path: Path, parameters: dict[str, Any], expected: list[Any]) -> None:
    served = Served(tmp_path / "served", "question-answering", seeded(tmp_path).exported)
    answer = served.ask("bls", {"question": column(*QUESTIONS), "context": column(*CONTEXTS)}, **parameters)
    for item, answers in enumerate(expected):
        found = rows(answer, item, "answer_count", *NAMES)
        assert [row[:3] for row in found] == [row[:3] for row in answers]
        np.testing.assert_allclose([row[3] for row in found], [row[3] for row in answers], atol=1e-4)
