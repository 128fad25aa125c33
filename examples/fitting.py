"""Training: the recipes, noisy batches, a running mean of the weights, predictions."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from labelled_text import Corpus, Sentence, Teacher, recombined

Example = tuple[list[int], np.ndarray]  # token ids; wanted probabilities of shape (classes,)


@dataclass(frozen=True)
class Recipe:
    """How to train. `recombined` is how many sentences the teacher is given to label for each true one."""

    epochs: int
    learning_rate: float
    batch: int = 32
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    word_dropout: float = 0.0
    recombined: float = 0.0


PRETRAINED = Recipe(epochs=4, learning_rate=3e-5)
# Chosen on five folds of the sample corpus's training part: examples/README.md has the figures.
SCRATCH = Recipe(epochs=25, learning_rate=1e-3, label_smoothing=0.1, word_dropout=0.15, recombined=1.0)
SCRATCH_WIDTH = 128  # the hidden size that SCRATCH's learning rate is for


def recipe_for(pretrained: bool, hidden_size: int, epochs: int | None) -> Recipe:
    """The recipe for trained or for random weights; from scratch, wider models take smaller steps."""
    recipe = PRETRAINED if pretrained else SCRATCH
    rate = recipe.learning_rate if pretrained else recipe.learning_rate * SCRATCH_WIDTH / hidden_size
    return replace(recipe, learning_rate=rate, epochs=epochs or recipe.epochs)


def fit(
    model: Any, tokenizer: Any, corpus: Corpus, recipe: Recipe, rng: random.Random, on_epoch: Callable[[], object]
) -> Any:
    """Train `model`; gives a model of the mean of its last weights, which does better than the last step's."""
    mean = copy.deepcopy(model)
    teacher = Teacher(corpus.train, len(corpus.labels))
    steps = recipe.epochs * math.ceil(len(corpus.train) * (1 + recipe.recombined) / recipe.batch)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.99)
    )
    # Up for a tenth of the steps, then down to nothing.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(10 * (step + 1) / steps, max(0.0, (1 - step / steps) / 0.9))
    )
    model.train()
    for _ in range(recipe.epochs):
        for batch in batches(examples_of(corpus, teacher, tokenizer, recipe, rng), recipe.batch, rng):
            learn(model, optimizer, batch)
            schedule.step()
            step = schedule.last_epoch
            follow(mean, model, keep=step / (step + 10))  # about the last tenth of the steps so far
        on_epoch()
    return mean


def examples_of(corpus: Corpus, teacher: Teacher, tokenizer: Any, recipe: Recipe, rng: random.Random) -> list[Example]:
    """One epoch: the true sentences, and as many new recombined ones as the recipe says; words are missing in all."""
    classes = len(corpus.labels)
    smooth = recipe.label_smoothing
    truth = np.eye(classes)[[sentence.label for sentence in corpus.train]] * (1 - smooth) + smooth / classes
    made = recombined(corpus.train, int(recipe.recombined * len(corpus.train)), rng)
    wanted = np.concatenate([truth, teacher(made)]) if made else truth
    ids = token_ids(tokenizer, [sentence.text for sentence in corpus.train] + made)
    examples = [(noisy(own, recipe.word_dropout, tokenizer, rng), row) for own, row in zip(ids, wanted, strict=True)]
    rng.shuffle(examples)
    return examples


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, special tokens included, cut at the tokenizer's model_max_length."""
    return list(tokenizer(list(texts), truncation=True)["input_ids"])


def noisy(ids: list[int], dropout: float, tokenizer: Any, rng: random.Random) -> list[int]:
    """The same tokens without some of them: one half of those gone is masked, the other half leaves no trace."""
    kept = [ids[0]]
    for token in ids[1:-1]:
        draw = rng.random()
        if draw >= dropout:
            kept.append(token)
        elif draw < dropout / 2 and tokenizer.mask_token_id is not None:
            kept.append(tokenizer.mask_token_id)
    return [*kept, ids[-1]]


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> list[Sequence[Example]]:
    """Batches of sentences of about one length, in random order."""
    made: list[Sequence[Example]] = []
    for start in range(0, len(examples), 8 * size):
        alike = sorted(examples[start : start + 8 * size], key=lambda example: len(example[0]))
        made += [alike[k : k + size] for k in range(0, len(alike), size)]
    rng.shuffle(made)
    return made


def learn(model: Any, optimizer: torch.optim.Optimizer, batch: Sequence[Example]) -> None:
    """One step on one batch."""
    wanted = torch.tensor(np.array([row for _, row in batch]), dtype=torch.float32, device=model.device)
    loss = torch.nn.functional.cross_entropy(logits_of(model, [ids for ids, _ in batch]), wanted)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


@torch.no_grad()
def follow(mean: Any, model: Any, keep: float) -> None:
    """Move the running mean of the weights towards `model`: `keep` of the old, the rest of the new."""
    for old, new in zip(mean.parameters(), model.parameters(), strict=True):
        old.lerp_(new, 1 - keep)


def logits_of(model: Any, ids: Sequence[list[int]]) -> torch.Tensor:
    """Logits of shape (batch, classes) of token ids of unequal length."""
    rows = [torch.tensor(row) for row in ids]
    pad = model.config.pad_token_id or 0
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    logits: torch.Tensor = model(padded.to(model.device), attention_mask=mask.to(model.device)).logits
    return logits


@torch.no_grad()
def confusion_of(model: Any, tokenizer: Any, sentences: Sequence[Sentence], batch: int = 64) -> np.ndarray:
    """Counts of shape (labels, answers): how many sentences of each label the model took for which."""
    model.eval()
    counts = np.zeros([model.config.num_labels] * 2, dtype=np.int64)
    for start in range(0, len(sentences), batch):
        part = sentences[start : start + batch]
        answers = logits_of(model, token_ids(tokenizer, [sentence.text for sentence in part])).argmax(dim=-1).tolist()
        for sentence, answer in zip(part, answers, strict=True):
            counts[sentence.label, answer] += 1
    return counts
