"""Of a long text the beginning is encoded, where that gives what the library gives for all of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

from tbgen.backends.text_tokenizer import LONG
from tbgen.backends.text_tokenizer import Tokenizer as TextTokenizer
from tbgen.backends.tokenizer import Tokenizer as FullTokenizer
from tbgen.export.tokenizers.words import reads_words_alone
from tests.export.checkpoints import bpe, unigram, wordpiece

SPACES = Regex(" {2,}")
# How the families' tokenizers normalize and part words: each with each model.
NORMALIZERS = [
    None,
    normalizers.BertNormalizer(),
    normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(), normalizers.Replace(SPACES, " ")]),
    normalizers.Sequence([normalizers.Nmt(), normalizers.NFKD(), normalizers.Replace(SPACES, "▁")]),
    normalizers.Sequence(
        [normalizers.Replace("``", '"'), normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
    ),
]
PRE_TOKENIZERS = [
    pre_tokenizers.BertPreTokenizer(),
    pre_tokenizers.ByteLevel(),
    pre_tokenizers.Metaspace(),
    pre_tokenizers.Metaspace(prepend_scheme="never"),
    pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits()]),
]
WORDS = [
    *(
        "a",
        "bank",
        "Don't",
        "ÉCOLE",
        "e\u0301te\u0301",
        "금리",
        "상한가",
        "ㅋㅋㅋ",
        "привет",
        "中文字",
        "12,345",
        "x" * 150,
    ),
    *(
        "``",
        "''",
        "...",
        "[MASK]",
        "<mask>",
        "[SEP]",
        "😀",
        "👩‍👩‍👧",
        "\ufdfa",
        "\u0600",
        "\u0d4e",
        "\u200b",
        "\x00",
        "▁",
        "\u0301",
    ),
]
GAPS = [" "] * 12 + ["  ", " " * 40, "\t", "\n", "\u00a0", "\u3000", "", "", "▁", " \u0301", "-", ". "]
KINDS = [(model, number % 5, number) for model in (wordpiece, bpe, unigram) for number in range(6)]
COUNT = 12  # 60, and each normalizer with each splitter, were held so once


def a_text(chance: random.Random) -> str:
    parts = chance.choices(WORDS, k=chance.randint(2, 6)) if chance.random() < 0.2 else WORDS
    gaps = [chance.choice(GAPS)] if chance.random() < 0.1 else GAPS
    return "".join(chance.choice(parts) + chance.choice(gaps) for _ in range(chance.randint(1, 900)))


def told(encoding: Any) -> tuple[Any, ...]:
    return (
        encoding.ids,
        encoding.type_ids,
        encoding.offsets,
        encoding.special_tokens_mask,
        bool(encoding.overflowing),
    )


@pytest.mark.parametrize(("make", "normalizer", "splitter"), KINDS)
def test_texts_of_every_kind(make: Callable[[], Tokenizer], normalizer: int, splitter: int, tmp_path: Path) -> None:
    file = make()
    file.normalizer, file.pre_tokenizer = NORMALIZERS[normalizer], PRE_TOKENIZERS[splitter]  # type: ignore[assignment]
    file.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    assert reads_words_alone(file)
    file.save(str(tmp_path / "tokenizer.json"))
    chance = random.Random(f"{make.__name__} {normalizer} {splitter}")
    texts = [a_text(chance) for _ in range(COUNT)]
    cut = 0
    for most in (3, 16):
        step = FullTokenizer(tmp_path, max_length=most, words_alone=True, extras=["offsets"])
        whole = FullTokenizer(tmp_path, max_length=most, extras=["offsets"])
        for text in texts:
            assert told(step.encodings([text], None)[0]) == told(whole.encodings([text], None)[0]), text
            cut += len(step.enough_of(text)) < len(text)
    assert cut > COUNT // 3


@pytest.mark.parametrize(
    ("settings", "alone"),
    [
        ({}, True),
        ({"normalizer": normalizers.Prepend("▁")}, False),
        ({"normalizer": normalizers.Replace(" ", "▁")}, False),
        ({"normalizer": normalizers.Replace(Regex("a b"), "c")}, False),
        ({"normalizer": normalizers.Replace("a b", "c")}, False),
        ({"normalizer": normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+$"), "")])}, False),
        ({"pre_tokenizer": None}, False),
        ({"pre_tokenizer": pre_tokenizers.Metaspace(split=False)}, False),
        ({"pre_tokenizer": pre_tokenizers.ByteLevel(use_regex=False)}, False),
        ({"pre_tokenizer": pre_tokenizers.Split(Regex("a b"), "isolated")}, False),
        ({"pre_tokenizer": pre_tokenizers.Punctuation()}, False),
        ({"pre_tokenizer": pre_tokenizers.Sequence([])}, False),
        ({"pre_tokenizer": pre_tokenizers.Sequence([pre_tokenizers.Sequence([])])}, False),
        ({"normalizer": normalizers.Sequence([])}, True),
    ],
)
def test_what_tells_that_words_are_read_alone(settings: dict[str, Any], alone: bool) -> None:
    file = unigram()
    for name, part in settings.items():
        setattr(file, name, part)
    assert reads_words_alone(file) is alone


@pytest.mark.parametrize("token", [AddedToken("New York"), AddedToken("x", rstrip=True), AddedToken("▁▁")])
def test_tokens_that_reach_beyond_a_word(token: AddedToken) -> None:
    file = wordpiece()
    file.add_tokens([token])
    assert not reads_words_alone(file)


def test_the_end_of_a_text_is_kept_from_all_of_it() -> None:
    file = wordpiece()
    file.enable_truncation(8, direction="left")
    assert not reads_words_alone(file)


def test_short_texts_texts_without_an_end_of_a_word_and_whole_ones_are_read_whole(word_tokenizer: Path) -> None:
    step = TextTokenizer(word_tokenizer, max_length=6, words_alone=True)
    step.encodings(["a"], None)  # from then on it cuts texts at this length
    assert step.enough_of("a b c " * 4 * LONG) == "a b c " * LONG + "a"
    for text in ("a b " * LONG, "a" * 100 * LONG, "a. " * 100 * LONG, " " * 100 * LONG + "a b c"):
        assert step.enough_of(text) == text
    with pytest.raises(ValueError, match="input_text of item 0: 20002 tokens; the model takes at most 6"):
        step(truncation="do_not_truncate", input_text=np.array([["a b " * 10_000]], dtype=object))
