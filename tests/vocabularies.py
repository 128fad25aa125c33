"""Vocabularies trained on texts, the same on every run, which the trainers of WordPiece and Unigram do not give."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, models, trainers


def wordpiece_vocabulary(like: Tokenizer, texts: Iterable[str], special: tuple[str, ...], size: int) -> dict[str, int]:
    """The ids of WordPiece's pieces: `size` pieces learnt as BPE's, each of which may also continue a word."""
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False)
    ordinary = sorted(learnt(models.BPE(), like, texts, trainer)["vocab"].keys() - set(special))
    pieces = [*special, *ordinary, *(f"##{piece}" for piece in ordinary)]
    return {piece: number for number, piece in enumerate(pieces)}


def unigram_vocabulary(
    like: Tokenizer, texts: Iterable[str], special: tuple[str, ...], size: int
) -> list[tuple[str, float]]:
    """The pieces of Unigram with their scores, rounded so that the order of sums does not show; the likely first."""
    unknown = next(token for token in special if "unk" in token.lower())
    trainer = trainers.UnigramTrainer(
        vocab_size=size, unk_token=unknown, special_tokens=list(special), show_progress=False
    )
    found = learnt(models.Unigram(), like, texts, trainer)["vocab"]
    scored = [(piece, round(score, 1)) for piece, score in found if piece not in special]
    return [*((token, 0.0) for token in special), *sorted(scored, key=lambda row: (-row[1], row[0]))]


def learnt(model: Any, like: Tokenizer, texts: Iterable[str], trainer: Any) -> dict[str, Any]:
    """The JSON of a model trained on what a tokenizer's normalizer and pre-tokenizer make of texts."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = like.normalizer, like.pre_tokenizer
    tokenizer.train_from_iterator(texts, trainer)
    return dict(json.loads(tokenizer.to_str())["model"])
