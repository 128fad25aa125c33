"""Rows of unequal length to an engine in micro-batches of like length, and its answers back in the rows' order."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]


class MicroBatches:
    """Sorts rows by length, cuts them into micro-batches, unpadded; a subclass says in `request` how one is run.

    Args:
        inputs, outputs: the engine's tensors, name -> [data type, dims without the batch axis].
        max_batch_size: most rows that one call may carry.
        buckets: the sequence lengths that may be sent, ascending; none: any.
        max_tokens: most tokens of one call that carries more than one row, padding counted at its cost.
        call_tokens: what one call costs beyond its tokens, in tokens; steers how finely a batch is cut.
        padding_cost: what a padded token costs beside a real one: 1, or less for an engine that computes no padding.
    """

    takes_clients = True
    several: Callable[..., Iterable[Any]] = map  # runs a function on each micro-batch

    def __init__(
        self,
        *,
        inputs: Mapping[str, Sequence[Any]],
        outputs: Mapping[str, Sequence[Any]],
        max_batch_size: int,
        buckets: Sequence[int] = (),
        max_tokens: int = 512,
        call_tokens: int = 30,
        padding_cost: float = 1.0,
    ) -> None:
        self.inputs = {name: tuple(spec) for name, spec in inputs.items()}
        self.outputs = {name: tuple(spec) for name, spec in outputs.items()}
        self.max_batch_size = max_batch_size
        self.buckets = list(buckets)
        self.max_tokens, self.call_tokens, self.padding_cost = max_tokens, call_tokens, padding_cost
        self.counts: dict[str, float] = {"calls": 0, "tokens": 0, "padded_tokens": 0}  # for the server's metrics

    def __call__(self, *, clients: Sequence[Any] = (), **tensors: np.ndarray) -> Tensors:
        """Token tensors (rows, length), attention_mask among them. Gives the engine's outputs, rows in order.

        clients: who waits for each row. Rows of those who have gone by the time of a call are left out, their answers
        zeros; a call takes the longest timeout of its rows, and the trace of the first.
        """
        mask = tensors["attention_mask"]
        one = len(mask) == 1  # alone, a row would wait for numpy's calls longer than they work: there are fewer

        def answered(part: tuple[list[int], int]) -> tuple[Sequence[int], Tensors]:
            """The rows of a part that are still waited for, and their answers."""
            rows, width = part
            rows = [row for row in rows if not (clients and clients[row].gone())]
            narrow = {name: array[:, :width] for name, array in tensors.items()}
            sent = narrow if one else {name: array.take(rows, axis=0) for name, array in narrow.items()}
            return rows, self.request(sent, [clients[row] for row in rows] if clients else ()) if rows else {}

        parts = self.parts([int(np.count_nonzero(mask))] if one else mask.sum(axis=1).tolist())
        done = [part for part in (map if len(parts) == 1 else self.several)(answered, parts) if part[0]]
        if not done:
            raise clients[0].gone()
        return {name: self.merged(name, done, mask.shape) for name in self.outputs}

    def parts(self, lengths: Sequence[int]) -> list[tuple[list[int], int]]:
        """The micro-batches of rows of these lengths, rows and width of each; their tokens are counted."""
        order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
        falling = [lengths[row] for row in order]
        widths = [self.bucket(length) for length in falling]
        cuts = self.cuts(widths, falling) if len(order) > 1 else [0, 1]
        parts = [(order[start:end], widths[start]) for start, end in itertools.pairwise(cuts)]
        tokens = sum(lengths)
        padded = sum(self.tokens(len(rows), width) for rows, width in parts)
        self.counts["calls"] += len(parts)
        self.counts["tokens"] += tokens
        self.counts["padded_tokens"] += padded if self.padding_cost == 1 else tokens
        return parts

    def bucket(self, length: int) -> int:
        """The smallest length that may be sent for `length` tokens."""
        return self.buckets[bisect_left(self.buckets, length)] if self.buckets else max(length, 1)

    def cuts(self, widths: Sequence[int], lengths: Sequence[int]) -> list[int]:
        """Where to cut rows sorted by falling width: [0, ..., rows], at the least cost, by dynamic programming."""
        best = [0.0] + [float("inf")] * len(widths)
        start_of = [0] * (len(widths) + 1)
        until = [0, *itertools.accumulate(lengths)]
        for start, width in enumerate(widths):
            for end in range(start + 1, min(start + self.max_batch_size, len(widths)) + 1):
                real = until[end] - until[start]
                tokens = real + self.padding_cost * (self.tokens(end - start, width) - real)
                if end > start + 1 and tokens > self.max_tokens:
                    break
                cost = best[start] + self.call_tokens + tokens
                if cost < best[end]:
                    best[end], start_of[end] = cost, start
        cuts = [len(widths)]
        while cuts[0]:
            cuts.insert(0, start_of[cuts[0]])
        return cuts

    def tokens(self, rows: int, width: int) -> float:
        """How many tokens a call for that many rows and tokens has, padding included."""
        return rows * width

    def request(self, tensors: Tensors, clients: Sequence[Any]) -> Tensors:
        """One run of the engine."""
        raise NotImplementedError

    def merged(self, name: str, parts: Sequence[tuple[Sequence[int], Tensors]], shape: Sequence[int]) -> np.ndarray:
        """The parts, rows and answers, as one array in the rows' order; answers along the length end in zeros."""
        first = parts[0][1][name]
        along_length = self.outputs[name][1][0] == -1
        if shape[0] == 1 and not along_length:
            return first
        array = np.zeros((shape[0], shape[1] if along_length else first.shape[1], *first.shape[2:]), first.dtype)
        for rows, answers in parts:  # the engine may have joined a call with another of longer rows
            width = min(answers[name].shape[1], array.shape[1])
            array[rows, :width] = answers[name][:, :width]
        return array
