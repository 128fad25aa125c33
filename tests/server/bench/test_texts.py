"""The texts that a benchmark draws."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.texts import TextFile
from tbgen.server.bench.texts import (
    Corpus,
    TextInput,
    corpus_from_file,
    requests_from_corpus,
    text_inputs,
)


def written(folder: Path, name: str, content: bytes | str) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return file


def test_the_bundled_corpus_is_korean() -> None:
    assert len(corpus_from_file().texts) > 900


def test_lines_are_texts_and_empty_ones_are_not(tmp_path: Path) -> None:
    file = written(tmp_path, "texts.txt", "오늘도 상한가\n\n  \n물렸다 🔥\r\n")
    assert corpus_from_file(TextFile(file)).texts == ["오늘도 상한가", "물렸다 🔥"]


def test_a_csv_has_its_text_in_a_known_column_or_the_one_that_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, "texts.csv", "labels,kor_sentence,title\n1,가,A\n0,,B\n")
    assert corpus_from_file(TextFile(file)).texts == ["가"]
    assert corpus_from_file(TextFile(file, "title")).texts == ["A", "B"]


@pytest.mark.parametrize(
    ("name", "content", "column", "sentence"),
    [
        ("a.csv", "x,y\n1,2\n", None, "has the columns x, y; name the one with the text: --column NAME"),
        ("a.csv", "text\n1\n", "body", "no column 'body'. Columns: text"),
        ("a.csv", "text\n", None, "is empty"),
        ("a.txt", "\n", None, "no text in"),
        ("a.txt", b"\xff\xfe", None, "is not UTF-8"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, name: str, content: bytes | str, column: str | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        corpus_from_file(TextFile(written(tmp_path, name, content), column))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        corpus_from_file(TextFile(tmp_path / "none.txt"))


def test_inputs_follow_the_models_configuration() -> None:
    tensors = [
        {"name": "query", "data_type": "TYPE_STRING", "dims": ["1"]},
        {"name": "texts", "data_type": "TYPE_STRING", "dims": ["-1"]},
    ]
    config = {"name": "rerank", "max_batch_size": 8, "input": tensors}
    assert text_inputs(config, 2) == [TextInput("query", (2, 1)), TextInput("texts", (2, 4))]
    with pytest.raises(UserError, match="at most 8 texts a request, not 9"):
        text_inputs(config, 9)
    with pytest.raises(UserError, match="takes input_ids, which is not text"):
        text_inputs({"name": "engine", "input": [{"name": "input_ids", "data_type": "TYPE_INT64", "dims": ["-1"]}]}, 1)


def test_each_text_is_drawn_once_before_any_comes_again() -> None:
    corpus = Corpus("three", {"query": ["q"]}, ["a", "b", "c"])
    inputs = [TextInput("query", (1, 1)), TextInput("input_text", (2, 1))]
    requests = requests_from_corpus(corpus, inputs, 3)
    drawn = [text for request in requests for text in request["input_text"].ravel()]
    assert sorted(drawn) == [b"a", b"a", b"b", b"b", b"c", b"c"]
    assert sorted(drawn[:3]) == [b"a", b"b", b"c"]
    assert {request["query"].item() for request in requests} == {b"q"}
    assert [r["input_text"].tolist() for r in requests_from_corpus(corpus, inputs, 3)] == [
        r["input_text"].tolist() for r in requests
    ]
