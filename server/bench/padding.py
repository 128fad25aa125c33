"""How long the texts of a benchmark are in tokens, what truncation cut, and how much padding the engine was given.

The repository's own steps are run on the requests: the numbers are the server's, not an estimate. Where padding depends
on which requests met in the server (a BLS, or batches padded to a common length), the server does not tell; then only
its lower bound is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.generator.steps.load import newest_steps, steps_from_folder
from tbgen.server.bench.parts import Front
from tbgen.server.bench.texts import Inputs
from tbgen.server.client.client import as_text


@dataclass(frozen=True)
class Lengths:
    """Token counts of the requests' texts.

    tokens: of each text, after truncation; untruncated: before it.
    real, padded: of each request, tokens, and the least that the engine is given for it.
    exact: whether `padded` is what the engine was given whatever else was in flight.
    buckets: the lengths that texts are padded to; none: each has its own.
    """

    tokens: np.ndarray
    untruncated: np.ndarray
    real: np.ndarray
    padded: np.ndarray
    exact: bool
    buckets: tuple[int, ...]
    max_length: int

    @property
    def truncated(self) -> int:
        """Texts that were cut."""
        return int((self.untruncated > self.tokens).sum())

    def waste(self, counts: np.ndarray) -> float:
        """Padded tokens / real tokens - 1 of requests that were sent `counts` times each."""
        real = float((self.real * counts).sum())
        return float((self.padded * counts).sum()) / real - 1 if real else 0.0


def lengths_from_repository(repository: Path | None, front: Front, requests: Sequence[Inputs]) -> Lengths | None:
    """Pass the requests through the steps that the model tokenises with; None when these are not at hand."""
    models = [front.part, *(step for step in front.steps if step.role == "tokenise")]
    for part in models:
        file = repository and newest_steps(repository / part.model)
        if file and (steps := _steps_until_tokens(steps_from_folder(file.parent))):
            return lengths_from_steps(steps, requests, bls=not front.steps)
    return None


def _steps_until_tokens(steps: Sequence[Any]) -> list[Any]:
    """The steps up to the one that gives input_ids; none if there is no such step."""
    for end, step in enumerate(steps, start=1):
        if "input_ids" in step.outputs and all(hasattr(step, name) for name in ("tokenizer", "buckets", "max_length")):
            return list(steps[:end])
    return []


def lengths_from_steps(steps: Sequence[Any], requests: Sequence[Inputs], *, bls: bool) -> Lengths:
    """Run each request by itself, as a server does that has nothing else to do."""
    tokenizer = steps[-1]
    any_length = list(tokenizer.buckets) == list(range(1, tokenizer.max_length + 1))
    buckets = () if any_length else tuple(tokenizer.buckets)
    real, padded, tokens, untruncated = [], [], [], []
    for request in requests:
        given, made = _tokens_of(steps, request)
        lengths = made["attention_mask"].sum(axis=1)
        tokens.append(lengths)
        real.append(int(lengths.sum()))
        widths = [_bucket(buckets, int(length)) for length in lengths]
        padded.append(sum(widths) if bls else made["attention_mask"].size)
        whole = _untruncated_lengths(tokenizer, given)
        untruncated.append(whole if len(whole) == len(lengths) else lengths)  # windows: rows are parts, nothing is cut
    joined = bls or getattr(tokenizer, "common_length", False)
    return Lengths(
        np.concatenate(tokens),
        np.maximum(np.concatenate(untruncated), np.concatenate(tokens)),
        np.array(real),
        np.array(padded),
        exact=not joined or len(buckets) < 2,
        buckets=buckets,
        max_length=tokenizer.max_length,
    )


def _tokens_of(steps: Sequence[Any], request: Inputs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the tokenizer step is given for a request, and what it makes of it, trimmed as it is sent."""
    tensors: dict[str, np.ndarray] = {name: as_text(array) for name, array in request.items()}
    for step in steps[:-1]:
        tensors = tensors | step(**{name: tensors[name] for name in step.inputs})
    given = {name: tensors[name] for name in steps[-1].inputs}
    made = steps[-1](**given)
    return given, made | (steps[-1].trim(made) if hasattr(steps[-1], "trim") else {})


def _untruncated_lengths(step: Any, given: dict[str, np.ndarray]) -> np.ndarray:
    """Tokens of each text, or pair of texts, if nothing were cut."""
    columns = [array.ravel().tolist() for array in given.values() if array.dtype == object]
    rows: Iterable[Any] = zip(*columns, strict=True)
    texts = [row[0] if len(row) == 1 else row for row in rows]
    limits = step.tokenizer.truncation
    step.tokenizer.no_truncation()
    try:
        return np.array([len(encoding) for encoding in step.tokenizer.encode_batch_fast(texts)])
    finally:
        if limits:
            step.tokenizer.enable_truncation(**limits)


def _bucket(buckets: Sequence[int], length: int) -> int:
    """The smallest bucket that holds `length` tokens."""
    return next((size for size in buckets if size >= length), length)
