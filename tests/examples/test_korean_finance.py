"""The bundled corpus: its size, its balance, and a held-out fifth that training cannot have seen."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import product

import pytest

from tbgen.generator.presets import SAMPLES

Row = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with (SAMPLES / "korean_finance.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns(rows: list[Row]) -> None:
    assert list(rows[0]) == ["labels", "kor_sentence", "split"]
    assert all(all(row.values()) for row in rows)


def test_size(rows: list[Row]) -> None:
    sentences = {row["kor_sentence"].strip() for row in rows}
    assert len(sentences) == len(rows) == 2536
    assert len(sentences) >= 900


def test_classes_are_balanced_in_both_parts(rows: list[Row]) -> None:
    counts = Counter((row["split"], row["labels"]) for row in rows)
    assert counts == {
        ("train", "부정"): 675,
        ("train", "중립"): 677,
        ("train", "긍정"): 675,
        ("test", "부정"): 170,
        ("test", "중립"): 170,
        ("test", "긍정"): 169,
    }


def trigrams(text: str) -> frozenset[str]:
    return frozenset(text[k : k + 3] for k in range(len(text) - 2)) or frozenset([text])


def test_no_near_copy_across_the_split(rows: list[Row]) -> None:
    train, held_out = (
        [trigrams(row["kor_sentence"]) for row in rows if row["split"] == part] for part in ("train", "test")
    )
    assert max(len(a & b) / len(a | b) for a, b in product(train, held_out)) < 0.6


def test_variety(rows: list[Row]) -> None:
    """Slang, emoji, figures, short and long sentences are all there."""
    sentences = [row["kor_sentence"] for row in rows]
    share = {
        "emoji": sum(any(ord(letter) >= 0x1F300 for letter in text) for text in sentences),
        "figures": sum(any(letter.isdigit() for letter in text) for text in sentences),
        "slang": sum(
            any(word in text for word in ("ㅋㅋ", "ㅠㅠ", "존버", "물렸", "떡상", "떡락")) for text in sentences
        ),
        "short": sum(len(text) < 15 for text in sentences),
        "long": sum(len(text) >= 60 for text in sentences),
    }
    assert {name: count > 100 for name, count in share.items()} == dict.fromkeys(share, True), share
