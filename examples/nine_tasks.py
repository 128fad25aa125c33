"""Nine tiny checkpoints with random weights, one a task, to try commands on: what they answer means nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
import transformers

SAMPLE = Path(__file__).resolve().parent.parent / "generator" / "samples" / "kcbert"
CLASSIFIER = "AutoModelForSequenceClassification"
# Name -> the head of its checkpoint, and its labels. The task is read off these, where no other does the same:
# `masks` and `words` have one head, `vectors` and `near` another (`tbgen scaffold --task`).
CHECKPOINTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mood": (CLASSIFIER, ("부정", "중립", "긍정")),
    "names": ("AutoModelForTokenClassification", ("O", "B-PER", "I-PER")),
    "answers": ("AutoModelForQuestionAnswering", ("start", "end")),
    "vectors": ("AutoModel", ()),
    "ranks": (CLASSIFIER, ("score",)),
    "near": ("AutoModel", ()),
    "masks": ("AutoModelForMaskedLM", ()),
    "any_label": (CLASSIFIER, ("contradiction", "entailment")),
    "words": ("AutoModelForMaskedLM", ()),
}


def main(folder: Path) -> None:
    """Write a checkpoint's folder for each name: the bundled sample's shape, tokenizer and vocabulary."""
    transformers.utils.logging.disable_progress_bar()
    for name, (head, labels) in CHECKPOINTS.items():
        transformers.set_seed(0)
        named = {"id2label": dict(enumerate(labels))} if labels else {}
        config = transformers.AutoConfig.from_pretrained(SAMPLE, initializer_range=0.1, **named)
        with torch.no_grad():
            getattr(transformers, head).from_config(config).eval().save_pretrained(folder / name)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(SAMPLE / file, folder / name / file)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "checkpoints"))
