"""The bundled corpus: Korean finance sentences, and those of it that the sample checkpoint was not trained on."""

from __future__ import annotations

import csv

from tbgen.export.parity.sentences import TEXTS
from tbgen.generator.presets import SAMPLES

_VERIFIED = 200  # sentences of the held-out part that `tbgen verify` asks


def corpus_sentences(split: str | None = None) -> list[str]:
    """The sentences of the corpus, in its order; with `split`, those of "train" or "test" alone."""
    with (SAMPLES / "korean_finance.csv").open(encoding="utf-8", newline="") as file:
        return [row["kor_sentence"] for row in csv.DictReader(file) if split in (None, row["split"])]


def verification_texts() -> list[str]:
    """What is compared when no texts are named: held-out sentences, and odd ones (emoji, other scripts, too long)."""
    return [*corpus_sentences("test")[:_VERIFIED], *TEXTS]
