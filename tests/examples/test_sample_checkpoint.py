"""The bundled sample checkpoint: its shape, its size, and the accuracy that its record and the README state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fitting import confusion_of
from labelled_text import corpus_from_csv
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tbgen.generator.presets import SAMPLES

FOLDER = SAMPLES / "kcbert"
README = Path(__file__).parents[2] / "examples" / "README.md"


@pytest.fixture(scope="module")
def record() -> dict[str, object]:
    return json.loads((FOLDER / "training.json").read_text(encoding="utf-8"))


def test_shape() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["max_position_embeddings"] == 300
    assert 2 <= config["num_hidden_layers"] <= 4
    assert config["id2label"] == {"0": "부정", "1": "중립", "2": "긍정"}


def test_size() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 8_000_000


def test_accuracy_is_the_one_on_record(record: dict[str, object]) -> None:
    corpus = corpus_from_csv(SAMPLES / "korean_finance.csv", seed=0)
    model = AutoModelForSequenceClassification.from_pretrained(FOLDER)
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    confusion = confusion_of(model, tokenizer, corpus.held_out)
    assert confusion.tolist() == record["confusion"]
    accuracy = confusion.trace() / confusion.sum()
    assert accuracy == pytest.approx(record["accuracy"], abs=1e-4)
    assert accuracy >= 0.9


def test_readme_states_the_record(record: dict[str, object]) -> None:
    assert f"{record['accuracy']:.4f}" in README.read_text(encoding="utf-8")
