"""Reading a corpus, holding a fifth of it out, and the teacher."""

from __future__ import annotations

import random
from pathlib import Path

import click
import numpy as np
import pytest
from labelled_text import Sentence, Teacher, corpus_from_csv, made_splits, near_copies, recombined


def csv_of(folder: Path, text: str) -> Path:
    path = folder / "corpus.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_stand_in_the_order_of_the_logits(tmp_path: Path) -> None:
    path = csv_of(
        tmp_path, "labels,kor_sentence,split\n긍정,주가 급등,train\n부정,주가 급락,test\n중립,주총 일정,train\n"
    )
    corpus = corpus_from_csv(path, seed=0)
    assert corpus.labels == ("부정", "중립", "긍정")
    assert corpus.train == (Sentence("주가 급등", 2), Sentence("주총 일정", 1))
    assert corpus.held_out == (Sentence("주가 급락", 0),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "label,kor_sentence\n긍정,주가 급등\n",
            "has no column labels; its first line names 'label', 'kor_sentence'. It",
        ),
        (
            "labels\ttext\n긍정\t급등\n",
            r"no column labels and no column kor_sentence; .* 'labels\\ttext'. .* by commas",
        ),
        ("", "no column labels and no column kor_sentence; its first line names none"),
        ("labels,kor_sentence\n", "has no rows below its first line"),
        ("labels,kor_sentence\n긍정,\n", "1 rows without a label or a sentence"),
        ("labels,kor_sentence\n긍정\n", "1 rows without a label or a sentence"),
        ('labels,kor_sentence\n긍정,"' + "가" * 200_000, "is no CSV that can be read: field larger than"),
        ("labels,kor_sentence,split\n긍정,주가 급등,train\n긍정,상한가,test\n", "it takes 2 labels or more"),
        ("labels,kor_sentence,split\n긍정,주가 급등,train\n부정,급락,dev\n", "the splits dev, train"),
    ],
)
def test_a_csv_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(click.ClickException, match=message):
        corpus_from_csv(csv_of(tmp_path, text), seed=0)


def test_a_csv_in_cp949_is_told_how_to_become_utf8(tmp_path: Path) -> None:
    path = tmp_path / "corpus.csv"
    path.write_bytes("labels,kor_sentence\n긍정,주가 급등\n".encode("cp949"))
    with pytest.raises(click.ClickException, match=r"is not UTF-8 \(byte 20: .*iconv -f CP949 -t UTF-8 ") as error:
        corpus_from_csv(path, seed=0)
    assert "\n" not in error.value.message


def test_near_copies() -> None:
    texts = ["폭락장에 멘탈 나감", "배당 기준일은 12월 31일", "폭락장에 멘탈 나감 😵", "배당 기준일은 언제인가요?"]
    assert near_copies(texts) == {(0, 2)}


def test_a_made_split_is_stratified_and_keeps_near_copies_together() -> None:
    texts = [f"{'가나다라마바사아자차'[k]}{'카타파하거너더러머버'[k]}" * 3 for k in range(10)]
    sentences = [Sentence(text, label) for label in (0, 1) for text in (t[label:] for t in texts)]
    splits = made_splits([*sentences[:10], *(Sentence(f"{s.text} 😭", 1) for s in sentences[:10])], random.Random(0))
    assert splits == ["train"] * 20
    alone = made_splits(sentences[:10] + [Sentence(s.text[::-1] + "!?", 1) for s in sentences[:10]], random.Random(0))
    assert (alone[:10].count("test"), alone[10:].count("test")) == (2, 2)


def test_recombined_sentences_start_as_one_and_end_as_another() -> None:
    made = recombined([Sentence("가 나 다", 0), Sentence("라 마", 1)], 50, random.Random(0))
    assert "가 나 마" in made
    assert all(text.endswith(("다", "마")) for text in made)


def test_teacher_knows_words_by_their_pieces() -> None:
    sentences = [Sentence("주가 급락", 0), Sentence("이익 급감", 0), Sentence("주가 급등", 1), Sentence("이익 반등", 1)]
    probabilities = Teacher(sentences, 2)(["폭락", "폭등", ""])
    assert probabilities.argmax(axis=1)[:2].tolist() == [0, 1]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(probabilities[2], [0.5, 0.5])
