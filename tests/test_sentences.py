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

# Help of commands and options, and a few sentences, that are being said once where this list was written.
BEING_ENDED = {
    "A setting of the task, KEY=VALUE; repeatable",
    "A step behind the task's head, written likewise; repeatable",
    "Ask a served model for its answers to texts",
    "Asked in Korean with emoji, and answered",
    "Bring along packages that a model's steps need",
    "Column of the .csv that holds the texts",
    "File of texts: lines, or a .csv. Default: the bundled Korean corpus",
    "Hold the engine and the served graphs against PyTorch",
    "Name of a class, in the order of the logits; repeatable",
    "Pad every text to this many tokens",
    "Processor of the server, x86_64 or aarch64. Default: this machine's",
    "Put models into the repository of a running server",
    "Put the code of the steps into a server's backend directory",
    "Run a model of a repository without Triton",
    "Run the embedded Triton on a model repository",
    "Show what an update of written models would change",
    "What the model does. Default: read from the checkpoint",
    "Where the time of an average request goes",
    "Where the time of an average request goes, in ms",
    "Write a client for a model, in the language of your choice",
    "Write a recipe that scaffold reads, by questions on a terminal",
    "Write models anew; edited files are kept and shown",
    "Write the models that serve a checkpoint into a model repository",
    "Write, list and try steps of your own",
    "each text alone, for its answer",
    "entries for item 0; it takes 1 to",
    "host:port of the Triton server. Default: localhost:8001, with --http localhost:8000",
    "is fused for ONNX Runtime alone",
    "name the models, or run it where there is a",
    "or with another version of onnxruntime",
    "save it again with tokenizer.save_pretrained(folder",
    "was written with other settings",
}
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
    allowed = BEING_ENDED | COMMANDS
    assert {text: places for text, places in doubled(ROOT).items() if text not in allowed} == {}


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
