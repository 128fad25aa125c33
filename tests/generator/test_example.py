"""The item that a model is asked with: what its steps say, any text, and what cannot be made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbgen.export.errors import UserError
from tbgen.generator.compare.example import EXAMPLE, NoExampleError, example_item, steps_example
from tbgen.generator.repository import read_record
from tbgen.generator.scaffold import Request, scaffold

TEXTS = {"name": "title", "data_type": "TYPE_STRING", "dims": ["1"]}
LABELS = {"name": "labels", "data_type": "TYPE_STRING", "dims": ["-1"]}
YEAR = {"name": "year", "data_type": "TYPE_INT32", "dims": ["1"]}


def asked(folder: Path, said: dict[str, Any], *inputs: dict[str, Any], rows: int = 4) -> dict[str, Any]:
    """The item of a model whose record says something, as plain values."""
    (folder / "tbgen.json").write_text(json.dumps({"example": said}), encoding="utf-8")
    item = example_item({"max_batch_size": rows, "input": inputs}, folder)
    return {name: array.tolist() for name, array in item.items()}


def test_any_text_where_nothing_is_said() -> None:
    item = example_item({"max_batch_size": 4, "input": [TEXTS, LABELS]})
    assert {name: (array.shape, array.ravel()[0].decode()) for name, array in item.items()} == {
        "title": ((1, 1), EXAMPLE),
        "labels": ((1, 1), EXAMPLE),
    }
    assert example_item({"input": [LABELS]})["labels"].shape == (1,)  # without a batch axis
    assert example_item({"input": [TEXTS | {"optional": True}]}) == {}


def test_what_the_record_says(tmp_path: Path) -> None:
    said = {"input_text": "[MASK] {}", "labels": ["경제", "sports"], "year": 2024}
    assert asked(tmp_path, said, TEXTS, LABELS, YEAR) == {
        "title": [[f"[MASK] {EXAMPLE}".encode()]],  # a step makes the input_text of it
        "labels": [["경제".encode(), b"sports"]],
        "year": [[2024]],
    }
    assert asked(tmp_path, said, YEAR, rows=0) == {"year": [2024]}


def test_numbers_cannot_be_made_up() -> None:
    with pytest.raises(NoExampleError, match=r"it takes year \(INT32\), and no step says an example of it"):
        example_item({"max_batch_size": 4, "input": [TEXTS, YEAR]})


@pytest.mark.parametrize("value", [[2023, 2024], "dreizehn", None])
def test_an_example_that_does_not_fit(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UserError, match="does not fit the input 'year', TYPE_INT32 of dims"):
        asked(tmp_path, {"year": value}, YEAR)


def test_the_step_nearest_to_the_client_is_heard() -> None:
    class Before:
        example = {"input_text": "<b>{}</b>"}

    class Behind:
        example = {"input_text": "[MASK] {}", "year": 2024}

    class Wrong:
        example = {"year": np.int32(2024)}

    assert steps_example([Before(), Behind()]) == {"input_text": "<b>{}</b>", "year": 2024}
    with pytest.raises(UserError, match=r"Wrong\.example is"):
        steps_example([Wrong()])


@pytest.mark.parametrize(
    ("truncation", "text"),
    [
        (None, f"[MASK] {EXAMPLE}"),
        ({"direction": "Right"}, f"[MASK] {EXAMPLE}"),
        ({"direction": "Left"}, f"{EXAMPLE} [MASK]"),
    ],
)
def test_what_reads_the_logits_of_masks_is_sent_one_where_it_is_read(
    truncation: dict[str, str] | None, text: str, tmp_path: Path
) -> None:
    """A head of someone else's, which says nothing itself."""
    files = {
        "tbgen.json": {"export": {"task": "fill-mask", "special": {"mask": 4}}},
        "1/steps.json": {"steps": [{"file": "head.py", "class": "Head", "settings": {}}]},
        "1/tokenizer.json": {
            "added_tokens": [{"id": 0, "content": "[PAD]"}, {"id": 4, "content": "[MASK]"}],
            "truncation": truncation,
        },
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    item = example_item({"max_batch_size": 4, "input": [TEXTS]}, tmp_path)
    assert item["title"].tolist() == [[text.encode()]]


def test_a_step_of_ones_own_says_it_for_the_record(packed_export: Path, tmp_path: Path) -> None:
    step = """
class Year:
    inputs = {"input_text": ("TYPE_STRING", [1]), "year": ("TYPE_INT32", [1])}
    outputs = {"input_text": ("TYPE_STRING", [1])}
    example = {"year": 2024}

    def __init__(self, folder):
        pass
"""
    (tmp_path / "year.py").write_text(step, encoding="utf-8")
    pre = (f"{tmp_path / 'year.py'}:Year",)
    scaffold(Request("k", packed_export, pre=pre, warmup=True), tmp_path / "models")
    said = {
        folder.name: (read_record(folder) or {}).get("example") for folder in sorted((tmp_path / "models").iterdir())
    }
    fronts = ("k_onnx_bls", "k_onnx_ensemble", "k_tokenizer")
    assert said == {name: {"year": 2024} if name in fronts else None for name in said}
    assert (tmp_path / "models/k_tokenizer/warmup/year").read_bytes() == (2024).to_bytes(4, "little")
    (tmp_path / "year.py").write_text(step.replace("    example = ", "    other = "), encoding="utf-8")
    cold = "is not warmed up: it takes year (INT32), and no step says an example of it"
    for graph, model in (("ensemble", "m_tokenizer"), ("single", "m_onnx_single")):
        written = scaffold(Request("m", packed_export, pre=pre, graph=graph, warmup=True), tmp_path / graph)
        assert [each.partition(";")[0] for each in written.warnings] == [f"{model} {cold}"]
    (tmp_path / "year.py").write_text(step.replace("2024", "[1, 2]"), encoding="utf-8")
    with pytest.raises(UserError, match="does not fit the input 'year'"):
        scaffold(Request("l", packed_export, pre=pre), tmp_path / "models")
