"""Rows of unequal length to an engine in micro-batches of like length, and its answers back in the rows' order."""

from __future__ import annotations

import functools
import itertools
import math
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]
ALONE = np.zeros(1, dtype=np.intp)  # the rows of a part that is one row


class MicroBatches:
    """Sorts rows by length, cuts them into micro-batches, unpadded; a subclass says in `request` how one is run.

    Args:
        inputs, outputs: the engine's tensors, name -> [data type, dims without the batch axis].
        max_batch_size: most rows that one call may carry.
        buckets: the sequence lengths that may be sent, ascending; none: any.
        max_tokens: most tokens of one call that carries more than one row, padding counted at its cost.
        call_tokens: what one call costs beyond its tokens, in tokens; steers how finely a batch is cut.
        padding_cost: what a padded token costs beside a real one: 1, or less for an engine that computes no padding.
        shapes: if given, the only shapes there are, each [least rows, most rows, least tokens, most tokens]; a call is
            filled up with padding to the cheapest that holds it.
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
        shapes: Sequence[Sequence[int]] = (),
    ) -> None:
        self.inputs = {name: tuple(spec) for name, spec in inputs.items()}
        self.outputs = {name: tuple(spec) for name, spec in outputs.items()}
        self.max_batch_size = max_batch_size
        self.buckets = list(buckets)
        self.max_tokens = max_tokens
        self.call_tokens = call_tokens
        self.padding_cost = padding_cost
        longest = self.buckets[-1] if self.buckets else sys.maxsize
        self.any_shape = not shapes
        self.shapes = [tuple(shape) for shape in shapes] or [(1, max_batch_size, 1, longest)]
        self.padded_tokens = functools.cache(lambda rows, width: math.prod(self.padded(rows, width)))
        self.counts = {"tokens": 0, "padded_tokens": 0}  # for the server's metrics

    def __call__(self, *, clients: Sequence[Any] = (), **tensors: np.ndarray) -> Tensors:
        """Token tensors (rows, length), attention_mask among them. Gives the engine's outputs, rows in order.

        clients: who waits for each row. Rows of those who have gone by the time of a call are left out, their answers
        zeros; a call takes the longest timeout of its rows, and the trace of the first.
        """
        if len(tensors["attention_mask"]) == 1:
            return self.alone(tensors, clients)
        lengths = tensors["attention_mask"].sum(axis=1)
        order = np.argsort(-lengths, kind="stable")
        sorted_lengths = lengths[order].tolist()
        widths = [self.bucket(length) for length in sorted_lengths]
        cuts = self.cuts(widths, sorted_lengths)
        parts = [order[start:end] for start, end in itertools.pairwise(cuts)]
        tokens = sum(sorted_lengths)
        padded = sum(self.padded_tokens(len(rows), widths[cut]) for rows, cut in zip(parts, cuts, strict=False))
        self.count(tokens, padded)

        def answered(rows: np.ndarray, width: int) -> tuple[np.ndarray, Tensors] | None:
            """The rows of a part that are still waited for, and their answers."""
            if any([clients[row].gone() for row in rows] if clients else ()):
                rows = rows[[not clients[row].left for row in rows]]
            if not len(rows):
                return None
            sent = {name: array[rows, :width] for name, array in tensors.items()}
            return rows, self.call(sent, [clients[row] for row in rows] if clients else ())

        firsts = [widths[cut] for cut in cuts[:-1]]
        each = map(answered, parts, firsts) if len(parts) == 1 else self.several(answered, parts, firsts)
        done = [part for part in each if part]
        if not done:
            raise clients[0].gone()
        return {name: self.merged(name, done, tensors["attention_mask"].shape) for name in self.outputs}

    def alone(self, tensors: Tensors, clients: Sequence[Any]) -> Tensors:
        """The answers to one row: nothing to sort, to cut or to merge."""
        length = int(np.count_nonzero(tensors["attention_mask"]))
        width = self.bucket(length)
        self.count(length, self.padded_tokens(1, width))
        if clients and (gone := clients[0].gone()):
            raise gone
        shape = tensors["attention_mask"].shape
        cut = tensors if width == shape[1] else {name: array[:, :width] for name, array in tensors.items()}
        answers = self.call(cut, clients)
        return {
            name: self.merged(name, [(ALONE, answers)], shape) if self.runs_along_length(name) else answers[name]
            for name in self.outputs
        }

    def count(self, tokens: int, padded: int) -> None:
        """Add to what the metrics show; an engine that computes no padding has none."""
        self.counts["tokens"] += tokens
        self.counts["padded_tokens"] += padded if self.padding_cost == 1 else tokens

    def bucket(self, length: int) -> int:
        """The smallest length that may be sent for `length` tokens."""
        return self.buckets[bisect_left(self.buckets, length)] if self.buckets else max(length, 1)

    def cuts(self, widths: Sequence[int], lengths: Sequence[int] = ()) -> list[int]:
        """Where to cut rows sorted by falling width: [0, ..., rows], the least total of tokens, padding and calls.

        Dynamic programming over the rows; a part costs call_tokens, its tokens, and its padding at its cost. Without
        `lengths` all of the widths is tokens.
        """
        best = [0.0] + [float("inf")] * len(widths)
        start_of = [0] * (len(widths) + 1)
        until = [0, *itertools.accumulate(lengths or widths)]
        for start, width in enumerate(widths):
            for end in range(start + 1, min(start + self.most_rows(width), len(widths)) + 1):
                real = until[end] - until[start]
                tokens = real + self.padding_cost * (self.padded_tokens(end - start, width) - real)
                if end > start + 1 and tokens > self.max_tokens:
                    break
                cost = best[start] + self.call_tokens + tokens
                if cost < best[end]:
                    best[end], start_of[end] = cost, start
        cuts = [len(widths)]
        while cuts[0]:
            cuts.insert(0, start_of[cuts[0]])
        return cuts

    def most_rows(self, width: int) -> int:
        """How many rows of that many tokens one call may carry."""
        return min(self.max_batch_size, max(rows for _, rows, _, tokens in self.shapes if tokens >= width))

    def padded(self, rows: int, width: int) -> tuple[int, int]:
        """The smallest shape that the engine takes for so many rows and tokens."""
        fitting = (
            (max(rows, least_rows), max(width, least_tokens))
            for least_rows, most_rows, least_tokens, most_tokens in self.shapes
            if rows <= most_rows and width <= most_tokens
        )
        return min(fitting, key=math.prod)

    def call(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:
        """One request to the engine, filled up to a shape that it takes."""
        if self.any_shape:
            return self.request(tensors, clients)
        rows, width = tensors["attention_mask"].shape
        shape = self.padded(rows, width)
        if shape == (rows, width):
            return self.request(tensors, clients)
        filled = {name: np.zeros(shape, array.dtype) for name, array in tensors.items()}
        for name, array in tensors.items():
            filled[name][:rows, :width] = array
        answers = self.request(filled, clients)
        return {
            name: array[:rows, :width] if self.runs_along_length(name) else array[:rows]
            for name, array in answers.items()
        }

    def request(self, tensors: Tensors, clients: Sequence[Any]) -> Tensors:
        """One run of the engine, of a shape that it takes."""
        raise NotImplementedError

    def merged(self, name: str, parts: Sequence[tuple[np.ndarray, Tensors]], shape: tuple[int, ...]) -> np.ndarray:
        """The parts, rows and answers, as one array in the rows' order; answers along the length end in zeros."""
        rows, answer = parts[0]
        first = answer[name]
        if len(rows) == shape[0] and not self.runs_along_length(name):
            return first[np.argsort(rows)]
        trailing = shape[1:2] + first.shape[2:] if self.runs_along_length(name) else first.shape[1:]
        array = np.zeros((shape[0], *trailing), dtype=first.dtype)
        for rows, answer in parts:
            if self.runs_along_length(name):  # the engine may have joined the call with another of longer rows
                width = min(answer[name].shape[1], array.shape[1])
                array[rows, :width] = answer[name][:, :width]
            else:
                array[rows] = answer[name]
        return array

    def runs_along_length(self, name: str) -> bool:
        """Whether an output has one entry for each token: its first dim is open."""
        return self.outputs[name][1][0] == -1
