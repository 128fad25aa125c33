"""The training script from end to end on sixty sentences and a tiny shape."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import checkpoints
import pytest
import torch
import train_kcbert
from click.testing import CliRunner, Result
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.generator.presets import SAMPLES

SCRIPT = Path(train_kcbert.__file__)
NOWHERE = "http://127.0.0.1:9"  # no port that answers: the hub is out of reach, as on a machine without a network
TINY = {
    "model_type": "bert",
    "vocab_size": 600,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
TEXTS = ["실적이 좋아졌다 👍", "", "물렸다 ㅠㅠ " * 60, "한빛전자는 3분기에 흑자로 돌아섰습니다."]


def train(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *map(str, options)]
    environment = {**os.environ, "HF_ENDPOINT": NOWHERE, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The script in this process, which has PyTorch already and is to stay as it is."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(checkpoints, "ENDPOINT", NOWHERE)
    monkeypatch.setattr(train_kcbert, "settle", lambda *_: None)
    return lambda *options: CliRunner().invoke(train_kcbert.main, [str(option) for option in options])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sixty.csv, a tiny shape, and the output of a run on both."""
    folder = tmp_path_factory.mktemp("training")
    with (SAMPLES / "korean_finance.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["labels"], row["kor_sentence"]) for row in csv.DictReader(file)][:60]
    with (folder / "sixty.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("labels", "kor_sentence"), *rows])
    (folder / "tiny").mkdir()
    (folder / "tiny" / "config.json").write_text(json.dumps(TINY), encoding="utf-8")
    done = train("--data", folder / "sixty.csv", "--base", folder / "tiny", "--epochs", "2", "-o", folder / "first")
    assert done.returncode == 0, done.stderr
    assert "48 sentences to train on, 12 held out (0 of them near-copies" in done.stdout
    assert "random weights, a vocabulary of the corpus" in done.stdout
    assert "accuracy on the held-out sentences: " in done.stdout
    return folder


def test_the_checkpoint_is_one_that_tbgen_reads(folder: Path) -> None:
    checkpoint = checkpoint_from_folder(folder / "first" / "checkpoint")
    assert checkpoint.labels == ("부정", "중립", "긍정")
    assert (checkpoint.task, checkpoint.max_length) == ("text-classification", 40)


@torch.no_grad()
def test_both_forms_agree(folder: Path) -> None:
    output = folder / "first"
    saved = AutoModelForSequenceClassification.from_pretrained(output / "checkpoint")
    pair = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(output / "checkpoint")).eval()
    pair.load_state_dict(torch.load(output / "model.pt", weights_only=True))
    both = [AutoTokenizer.from_pretrained(output / name) for name in ("checkpoint", "tokenizer_model")]
    first, second = (own(TEXTS, padding=True, truncation=True, return_tensors="pt") for own in both)
    assert torch.equal(first["input_ids"], second["input_ids"])
    assert torch.equal(saved(**first).logits, pair(**second).logits)


def test_the_files_of_both_forms(folder: Path) -> None:
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"}
    assert {path.name for path in (folder / "first" / "tokenizer_model").iterdir()} == tokenizer
    assert {path.name for path in (folder / "first" / "checkpoint").iterdir()} == tokenizer | {
        "config.json",
        "model.safetensors",
        "training.json",
    }
    words = (folder / "first" / "tokenizer_model" / "vocab.txt").read_text(encoding="utf-8").split("\n")
    assert words[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_the_same_seed_gives_the_same_files(folder: Path) -> None:
    done = train("--data", folder / "sixty.csv", "--base", folder / "tiny", "--epochs", "2", "-o", folder / "second")
    assert done.returncode == 0, done.stderr
    for name in ("checkpoint/model.safetensors", "checkpoint/tokenizer.json", "tokenizer_model/vocab.txt"):
        assert (folder / "first" / name).read_bytes() == (folder / "second" / name).read_bytes(), name


def test_a_trained_checkpoint_is_a_base(folder: Path, here: Callable[..., Result]) -> None:
    base = folder / "first" / "checkpoint"
    done = here("--data", folder / "sixty.csv", "--base", base, "--epochs", "1", "-o", folder / "tuned")
    assert "its weights, its vocabulary" in done.output
    assert (folder / "tuned/tokenizer_model/vocab.txt").read_bytes() == (base / "vocab.txt").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--base", "no/such"], "known without a hub: sample, beomi/kcbert-base, beomi/kcbert-large"),
        (["-o", "."], "'.' exists; name another folder, or allow it with --overwrite"),
        (["--base", "{folder}"], "no config.json in "),
    ],
)
def test_mistakes(folder: Path, tmp_path: Path, here: Callable[..., Result], options: list[str], message: str) -> None:
    done = here("--data", folder / "sixty.csv", "-o", tmp_path / "none", *(o.format(folder=folder) for o in options))
    assert done.exit_code == 1
    assert message in done.stderr
    assert not (tmp_path / "none").exists()
