"""A sentence that a person reads is written once: where two files say the same, one reads the other's."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("backends", "cli", "export", "generator", "server")
LEAST = 30  # letters of what counts as a sentence, or a part of one between the values of an f-string
WORDS = 3

# What a person types, which must read alike wherever it is named.
COMMANDS = {"tbgen export tensorrt --source", "text-classification --set pair=true"}


def sentences(file: Path) -> Iterator[str]:
    """The texts in a file's code, docstrings apart; f-strings by their constant parts."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and is_text(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            text = " ".join(node.value.split()).strip("""'".,:;()[] """)
            if len(text) >= LEAST and len(text.split()) >= WORDS:
                yield text


def is_text(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return bool(node.body) and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)


def doubled(root: Path) -> dict[str, list[str]]:
    """Sentence -> the files that say it, of those that several say, alone or within a longer one."""
    files = {
        file.relative_to(root): set(sentences(file)) for folder in FOLDERS for file in (root / folder).rglob("*.py")
    }
    begins = {text[:LEAST] for texts in files.values() for text in texts}
    holders: dict[str, set[tuple[Path, str]]] = defaultdict(set)  # the begin of a sentence -> the texts that hold it
    for file, texts in files.items():
        for text in texts:
            for place in range(len(text) - LEAST + 1):
                if (begin := text[place : place + LEAST]) in begins:
                    holders[begin].add((file, text))
    found = {}
    for text in {text for texts in files.values() for text in texts}:
        places = sorted({str(file) for file, longer in holders[text[:LEAST]] if text in longer})
        if len(places) > 1:
            found[text] = places
    return found


def test_no_sentence_stands_twice() -> None:
    assert {text: places for text, places in doubled(ROOT).items() if text not in COMMANDS} == {}


@pytest.mark.parametrize(
    ("other", "twice"),
    [
        ("says = 'it takes a tensor that is no input of the model.'", True),
        ("says = f'{name} takes a tensor that is no input of the model: {model}'", True),
        ("def takes():\n    'It takes a tensor that is no input of the model.'", False),
        ("says = 'a tensor'", False),
    ],
)
def test_what_counts_as_twice(tmp_path: Path, other: str, twice: bool) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "one.py").write_text("says = 'a tensor that is no input of the model'", encoding="utf-8")
    (tmp_path / "cli" / "other.py").write_text(other, encoding="utf-8")
    assert bool(doubled(tmp_path)) == twice
