"""The lines that are served: Korean finance sentences, joined to a wide spread of lengths of about 31 tokens."""

from __future__ import annotations

import random

from tokenizers import Tokenizer

from tbgen.generator.corpus import corpus_sentences
from tbgen.generator.presets import SAMPLES

MEAN_LOG, SPREAD_LOG = 3.2, 0.65  # tokens are drawn from this log-normal: most lines are short, a few reach hundreds


def lines(count: int, *, seed: int = 1) -> list[str]:
    """`count` lines, the same for the same seed."""
    draw = random.Random(seed)
    words = [sentence.split() for sentence in corpus_sentences()]
    tokenizer = Tokenizer.from_file(str(SAMPLES / "kcbert" / "tokenizer.json"))
    return [line_of(tokenizer, words, round(draw.lognormvariate(MEAN_LOG, SPREAD_LOG)), draw) for _ in range(count)]


def line_of(tokenizer: Tokenizer, words: list[list[str]], tokens: int, draw: random.Random) -> str:
    """Words of sentences, one after another, until there are `tokens` tokens (at most 290)."""
    line: list[str] = []
    while len(tokenizer.encode(" ".join(line))) < min(max(tokens, 4), 290):
        line.extend(draw.choice(words)[: max(1, tokens - len(line))])
    while len(line) > 1 and len(tokenizer.encode(" ".join(line[:-1]))) >= tokens:
        line.pop()
    return " ".join(line)
