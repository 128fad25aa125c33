"""The bases of the training script, and a vocabulary that is the same on every run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import checkpoints
import pytest
import torch

EXAMPLES = Path(checkpoints.__file__).parent


@pytest.mark.parametrize(
    ("name", "layers", "width", "millions"),
    [("beomi/kcbert-base", 12, 768, 109), ("beomi/kcbert-large", 24, 1024, 334)],
)
def test_kcbert_is_known_without_a_hub(
    monkeypatch: pytest.MonkeyPatch, name: str, layers: int, width: int, millions: int
) -> None:
    monkeypatch.setattr(checkpoints, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_CACHE", "/nonexistent")
    base = checkpoints.base_named(name)
    assert "no hub is reachable" in base.note
    assert (base.config.num_hidden_layers, base.config.hidden_size) == (layers, width)
    assert (base.config.vocab_size, base.config.max_position_embeddings) == (30000, 300)
    tokenizer = checkpoints.tokenizer_for(base, ["주가가 급등했다", "주가가 급락했다"])
    with torch.device("meta"):
        model = checkpoints.classifier(base, tokenizer, ("부정", "중립", "긍정"))
    assert round(sum(weights.numel() for weights in model.parameters()) / 1e6) == millions


CORPUS = ["주가가 올랐다", "주가가 내렸다 ㅠㅠ"]
VOCABULARY = f"from checkpoints import wordpiece_vocabulary; print(sorted(wordpiece_vocabulary({CORPUS}, 40).items()))"


def test_a_vocabulary_is_the_same_on_every_run() -> None:
    """Here, and where Python gives sets another order."""
    command, environment = [sys.executable, "-c", VOCABULARY], {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, cwd=EXAMPLES, env=environment, capture_output=True, check=True)
    here = checkpoints.wordpiece_vocabulary(CORPUS, 40)
    assert done.stdout.decode("utf-8").strip() == str(sorted(here.items()))
    assert "주가가" in here


def test_wordpiece_is_cased_and_keeps_emoji_and_accents() -> None:
    text = "ETF는 Café 漢字 😭"
    tokenizer = checkpoints.tokenizer_for(checkpoints.base_named("sample"), [text, text])
    assert tokenizer.tokenize(text)[-1] == "😭"
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == "ETF는 Café 漢 字 😭"
    assert tokenizer("가")["input_ids"] == [2, 1, 3]
