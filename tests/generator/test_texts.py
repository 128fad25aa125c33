"""The one reader of texts."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.texts import STANDARD_INPUT, TextFile

TEXTS = ["오늘도 상한가 갔다", "", "🔥 두 번째, 줄"]
FORMS = {
    "a.txt": "오늘도 상한가 갔다\r\n\r\n🔥 두 번째, 줄\r\n",
    "marked.TXT": "\ufeff오늘도 상한가 갔다\n\n🔥 두 번째, 줄",
    "a.csv": 'label,text\n1,오늘도 상한가 갔다\n0,\n1,"🔥 두 번째, 줄"\n',
    "short.csv": 'text,label\n오늘도 상한가 갔다,1\n""\n"🔥 두 번째, 줄",0,too many\n',
    "a.jsonl": '{"text": "오늘도 상한가 갔다", "label": 1}\n{"text": ""}\n\n{"text": "🔥 두 번째, 줄"}\n',
    "strings.jsonl": '"오늘도 상한가 갔다"\n""\n"🔥 두 번째, 줄"\n',
}


def written(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return file


@pytest.mark.parametrize("name", FORMS)
def test_each_form_gives_the_same_texts(tmp_path: Path, name: str) -> None:
    file = TextFile(written(tmp_path, name, FORMS[name]))
    assert [*file.texts()] == TEXTS
    assert file.full_texts() == [text for text in TEXTS if text]


def test_standard_input_is_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FORMS["a.txt"].encode()), encoding="utf-8"))
    assert [*TextFile(STANDARD_INPUT).texts()] == TEXTS


def test_the_column_can_be_named(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", "text,title\n가,A\n나,B\n")
    assert [*TextFile(file, "title").texts()] == ["A", "B"]


@pytest.mark.parametrize(
    ("name", "content", "column", "sentence"),
    [
        ("a.txt", b"", None, "is empty; give it one text a line"),
        ("a.txt", b"\n \n", None, "no text in '"),
        (
            "a.txt",
            "금리\n".encode() + "상한가".encode("cp949"),
            None,
            r"line 2 of .* is not UTF-8 \(byte 1 is 0xbb\); .*",
        ),
        ("a.csv", "x,y\n1,2\n", None, "has the columns x, y; name the one with the text: --column NAME"),
        ("a.csv", "text\n1\n", "body", "no column 'body'. Columns: text"),
        ("a.csv", "text\n" + "a" * 200_000, None, "is no CSV file: field larger than field limit"),
        ("a.jsonl", '{"text": "a"}\n{"text"\n', None, "line 2 of .* is not JSON: "),
        ("a.jsonl", "[1]\n", None, "line 1 of .* is neither a JSON object nor a JSON string: "),
        ("a.jsonl", '{"text": 1}\n', None, "'text' of row 1 of .* is no text: 1"),
    ],
)
def test_what_cannot_be_read_is_said(
    tmp_path: Path, name: str, content: str | bytes, column: str | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        TextFile(written(tmp_path, name, content), column).full_texts()


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory; --text takes a file of texts"):
        TextFile(tmp_path / "none.txt").full_texts()
