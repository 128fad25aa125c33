import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from tbgen.backends.token_classification import TokenClassification
from tests.backends.conftest import Pair
from tests.backends.served import Served, column, rows
from tests.texts import HARD_TEXTS, SENTENCES

TEXTS = HARD_TEXTS + SENTENCES
LABELS = ("B-ORG", "B-PER", "I-PER", "I-ORG", "O")
RULES = ["none", "simple", "first", "average", "max"]
NAMES = ("entities_word", "entities_label", "entities_start", "entities_end", "entities_score")


@pytest.fixture(scope="module")
def both(exports: Callable[..., Pair], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Served]]:
    """Gives a family's pipeline and what is served of it, each made once."""

    @cache
    def make(family: str) -> tuple[Any, Served]:
        pair = exports(family, "AutoModelForTokenClassification", "token-classification", LABELS)
        folder = tmp_path_factory.mktemp(family)
        return pair.pipeline("token-classification"), Served(folder, pair.exported.task, pair.exported, {"json": True})

    return make


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("graph", ["ensemble", "bls"])
@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_equals_the_pipeline(both: Callable[[str], tuple[Any, Served]], family: str, graph: str, rule: str) -> None:
    pipe, served = both(family)
    texts = [text for text in TEXTS if "\n" not in text]  # the pipeline's words: see the next but one test
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tokenizer does not support real words")
        expected = [pipe(text, aggregation_strategy=rule) for text in texts]
    answer = served.ask(graph, {"input_text": column(*texts)}, aggregation=rule)
    assert sum(map(len, expected)) > 20
    for item, entities in enumerate(expected):
        found = rows(answer, item, "entities_count", *NAMES)
        label = "entity" if rule == "none" else "entity_group"
        assert [entity[:4] for entity in found] == [(e["word"], e[label], e["start"], e["end"]) for e in entities]
        np.testing.assert_allclose([entity[4] for entity in found], [e["score"] for e in entities], atol=1e-4)
        assert [entity["word"] for entity in json.loads(answer["json"][item, 0])] == [e["word"] for e in entities]


def tagged(
    folder: Path, tokenizer: Tokenizer, text: str, labels: list[int], **settings: object
) -> list[tuple[object, ...]]:
    """The entities of a text whose tokens get these labels, surely."""
    tokenizer.save(str(folder / "tokenizer.json"))
    encoding = tokenizer.encode(text, add_special_tokens=False)
    answer = TokenClassification(folder, labels=LABELS, **settings)(  # type: ignore[arg-type]
        outputs=np.eye(len(LABELS), dtype=np.float32)[labels][None] * 20,
        input_ids=np.array([encoding.ids]),
        offsets=np.array([encoding.offsets], dtype=np.int32),
        special_tokens_mask=np.zeros((1, len(labels)), dtype=np.int32),
        tokenized_text=column(text),
    )
    return rows(answer, 0, "entities_count", "entities_word", "entities_label", "entities_start", "entities_end")


def test_a_word_begins_where_the_vocabulary_says_so_also_when_letters_are_taken_apart(tmp_path: Path) -> None:
    """BERT's lower-casing takes syllables apart; the pipeline then counts letters and glues words together."""
    pieces = [normalizers.NFD().normalize_str(word) for word in ("한국", "은행")]
    tokenizer = Tokenizer(models.WordPiece({word: index for index, word in enumerate(pieces)}, unk_token=pieces[0]))
    tokenizer.normalizer = normalizers.NFD()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    found = tagged(tmp_path, tokenizer, "한국 은행", [1, 3], aggregation="first")
    assert [(label, start, end) for _, label, start, end in found] == [("PER", 0, 2), ("ORG", 3, 5)]


@pytest.mark.parametrize("space", [" ", "\n", "\t", "　"])
def test_without_marks_any_space_parts_words(tmp_path: Path, space: str) -> None:
    """The pipeline knows the plain space alone, and glues the words of two lines together."""
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = tagged(tmp_path, tokenizer, f"a{space}b", [1, 3], aggregation="first")
    assert found == [("a", "PER", 0, 1), ("b", "ORG", 2, 3)]


def test_a_second_b_label_begins_a_new_entity(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = tagged(tmp_path, tokenizer, "a b a b b", [1, 2, 1, 4, 2])
    assert found == [("a b", "PER", 0, 3), ("a", "PER", 4, 5), ("b", "PER", 8, 9)]


def test_each_request_is_as_wide_as_its_own_texts_need(tmp_path: Path) -> None:
    answer = {
        "entities_count": np.array([[1]], dtype=np.int32),
        **{name: np.zeros((1, 7)) for name in NAMES},
    }
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    trimmed = TokenClassification(tmp_path, labels=LABELS).trim(answer)
    assert {array.shape for array in trimmed.values()} == {(1, 1)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"input_ids": [[0, -1]]}, "input_ids holds a number that is no id of a token"),
        ({"input_ids": [[0, 2**40]]}, "input_ids holds a number that is no id of a token"),
        ({"special_tokens_mask": [[0, 0, 0]]}, "special_tokens_mask are not of one length"),
        ({"input_ids": [[0, 0, 0]]}, "special_tokens_mask are not of one length"),
    ],
)
def test_tensors_that_no_tokenizer_gives_are_refused(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    tensors = {"input_ids": [[0, 0]], "offsets": [[[0, 1], [2, 3]]], "special_tokens_mask": [[0, 0]]} | change
    arrays = {name: np.array(values) for name, values in tensors.items()}
    step, texts = TokenClassification(tmp_path, labels=LABELS), np.array([["a a"]], dtype=object)
    with pytest.raises(ValueError, match=sentence):
        step(outputs=np.zeros((1, 2, len(LABELS)), np.float32), tokenized_text=texts, **arrays)
