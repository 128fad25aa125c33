"""Labelled sentences: read from a CSV, a fifth held out without near-copies, and a teacher that makes more of them."""

from __future__ import annotations

import csv
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

COLUMNS = ("labels", "kor_sentence")
SPLITS = ("train", "test")
# The usual names of sentiments in the walk-through's order of logits; other labels go in alphabetical order.
ORDER = ("부정", "중립", "긍정", "negative", "neutral", "positive")
NEAR_COPY = 0.6


@dataclass(frozen=True)
class Sentence:
    """A text and the number of its label."""

    text: str
    label: int


@dataclass(frozen=True)
class Corpus:
    """Sentences to train on and sentences held out, with the names of the labels in the order of the logits."""

    labels: tuple[str, ...]
    train: tuple[Sentence, ...]
    held_out: tuple[Sentence, ...]

    def near_copies(self) -> int:
        """How many held-out sentences have a near-copy among those to train on."""
        pairs = near_copies([sentence.text for sentence in self.train + self.held_out])
        return len({high for low, high in pairs if low < len(self.train) <= high})


def corpus_from_csv(path: Path, seed: int) -> Corpus:
    """Read the columns `labels` and `kor_sentence`; `split` (train, test) is kept where it is there, else made."""
    rows = rows_of(path)
    blank = [row for row in rows if not row["labels"] or not (row["kor_sentence"] or "").strip()]
    if blank:
        raise click.ClickException(f"{str(path)!r} has {len(blank)} rows without a label or a sentence: {blank[0]}")
    names = {row["labels"] for row in rows}
    labels = tuple(sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else -1, name)))
    sentences = [Sentence(row["kor_sentence"], labels.index(row["labels"])) for row in rows]
    splits = [row["split"] for row in rows] if "split" in rows[0] else made_splits(sentences, random.Random(seed))
    if len(labels) < 2 or set(splits) != set(SPLITS):
        raise click.ClickException(
            f"{str(path)!r} has {len(labels)} labels and the splits {', '.join(sorted(set(splits)))};"
            f" it takes 2 labels or more and both of {', '.join(SPLITS)}"
        )
    train, held_out = (tuple(s for s, split in zip(sentences, splits, strict=True) if split == want) for want in SPLITS)
    return Corpus(labels, train, held_out)


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV that has both columns. Raises ClickException for what is no such file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows, there = list(reader), [name or "" for name in reader.fieldnames or ()]
    except UnicodeDecodeError as error:
        raise click.ClickException(
            f"{str(path)!r} is not UTF-8 (byte {error.start}: {error.reason}); save it as such, in Excel as "
            f"'CSV UTF-8', or turn CP949 into it: iconv -f CP949 -t UTF-8 {path} > utf8.csv"
        ) from error
    except csv.Error as error:
        raise click.ClickException(f"{str(path)!r} is no CSV that can be read: {error}") from error
    missing = [name for name in COLUMNS if name not in there]
    if missing:
        raise click.ClickException(
            f"{str(path)!r} has no column {' and no column '.join(missing)}; its first line names "
            f"{', '.join(map(repr, there)) or 'none'}. It takes {', '.join(COLUMNS)}, parted by commas"
        )
    if not rows:
        raise click.ClickException(f"{str(path)!r} has no rows below its first line")
    return rows


def made_splits(sentences: Sequence[Sentence], rng: random.Random) -> list[str]:
    """A fifth of each label to test on; a sentence that has a near-copy anywhere stays with those to train on."""
    copied = {index for pair in near_copies([sentence.text for sentence in sentences]) for index in pair}
    by_label = defaultdict(list)
    for index, sentence in enumerate(sentences):
        by_label[sentence.label].append(index)
    held_out: set[int] = set()
    for _, members in sorted(by_label.items()):
        free = [index for index in members if index not in copied]
        held_out.update(rng.sample(free, min(len(free), round(len(members) / 5))))
    return ["test" if index in held_out else "train" for index in range(len(sentences))]


def near_copies(texts: Sequence[str], limit: float = NEAR_COPY) -> set[tuple[int, int]]:
    """Pairs (lower, higher index) of texts whose sets of character 3-grams have a Jaccard index of `limit` or more."""
    grams = [trigrams(text) for text in texts]
    seen: dict[str, list[int]] = defaultdict(list)
    pairs = set()
    for index, own in enumerate(grams):
        shared = Counter(other for gram in own for other in seen[gram])
        pairs |= {(other, index) for other, n in shared.items() if n >= limit * (len(own) + len(grams[other]) - n)}
        for gram in own:
            seen[gram].append(index)
    return pairs


def trigrams(text: str) -> set[str]:
    """The character 3-grams of a text, a space at both its ends."""
    return {f" {text} "[k : k + 3] for k in range(len(text))}


def recombined(sentences: Sequence[Sentence], count: int, rng: random.Random) -> list[str]:
    """Texts that nobody wrote: the first words of one sentence, then the last words of another."""
    words = [sentence.text.split() for sentence in sentences]

    def one() -> str:
        head, tail = rng.choice(words), rng.choice(words)
        return " ".join(head[: rng.randint(0, len(head))] + tail[rng.randint(0, len(tail) - 1) :])

    return [one() for _ in range(count)]


class Teacher:
    """A complement naive Bayes over character n-grams, which learns from few sentences and labels recombined ones.

    Rennie, Shih, Teevan, Karger: Tackling the Poor Assumptions of Naive Bayes Text Classifiers (2003).
    """

    smoothing = 0.3
    sharpness = 5.0  # logits are multiplied by it before the softmax

    def __init__(self, sentences: Sequence[Sentence], classes: int) -> None:
        texts_with = Counter(gram for sentence in sentences for gram in set(ngrams(sentence.text)))
        self.columns = {gram: column for column, gram in enumerate(texts_with)}
        self.rarity = np.log((1 + len(sentences)) / (1 + np.array(list(texts_with.values())))) + 1
        counts = np.zeros((classes, len(self.columns)))
        for sentence in sentences:
            columns, weights = self.weighed(sentence.text)
            counts[sentence.label, columns] += weights
        others = self.smoothing + counts.sum(axis=0) - counts
        self.weights = -np.log(others / others.sum(axis=1, keepdims=True))

    def weighed(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The columns of a text's known n-grams and their weights, of length 1 together."""
        known = Counter(gram for gram in ngrams(text) if gram in self.columns)
        columns = np.array([self.columns[gram] for gram in known], dtype=np.int64)
        weights = np.array([1 + math.log(n) for n in known.values()]) * self.rarity[columns]
        return columns, weights / max(float(np.linalg.norm(weights)), 1e-9)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities of shape (texts, classes)."""
        scores = np.array([self.weights[:, columns] @ weights for columns, weights in map(self.weighed, texts)])
        powers = np.exp(self.sharpness * (scores - scores.max(axis=1, keepdims=True)))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def ngrams(text: str) -> Iterator[str]:
    """The 1 to 3 characters long pieces of each word, its borders marked by spaces."""
    for word in text.split():
        padded = f" {word} "
        for size in (1, 2, 3):
            yield from (padded[k : k + size] for k in range(len(padded) - size + 1) if size > 1 or padded[k] != " ")
