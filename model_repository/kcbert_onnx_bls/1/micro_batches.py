"""Rows of unequal length to an engine in micro-batches of like length, and its answers back in the rows' order."""

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]
Part = tuple[list[int], int]  # rows, and how many of their tokens


@dataclass(kw_only=True, eq=False)
class MicroBatches:
    """Sorts rows by length, cuts them into micro-batches, unpadded; a subclass says in `request` how one is run."""

    inputs: Mapping[str, Sequence[Any]]  # the engine's tensors, name -> [data type, dims without the batch axis]
    outputs: Mapping[str, Sequence[Any]]
    max_batch_size: int  # most rows that one call may carry
    buckets: Sequence[int] = ()  # the sequence lengths that may be sent, ascending; none: any
    max_tokens: int = 512  # most tokens of one call that carries more than one row, padding counted at its cost
    call_tokens: int = 30  # what one call costs beyond its tokens, in tokens; steers how finely a batch is cut
    padding_cost: float = 1.0  # of a padded token beside a real one: 1, or less where an engine computes no padding

    takes_clients = True

    def __post_init__(self) -> None:
        self.counts: dict[str, float] = {"calls": 0, "tokens": 0, "padded_tokens": 0}  # for the server's metrics
        self.several: Callable[..., Iterable[Any]] = map  # runs a function on each micro-batch

    def __call__(self, *, clients: Sequence[Any] = (), **tensors: np.ndarray) -> Tensors:
        """Token tensors (rows, length), attention_mask among them. Gives the engine's outputs, rows in order.

        clients: who waits for each row. Rows of those who have gone by the time of a call are left out, their answers
        zeros; a call takes the longest timeout of its rows, and the trace of the first.
        """
        mask = tensors["attention_mask"]
        one = len(mask) == 1  # alone, a row would wait for numpy's calls longer than they work: there are fewer

        def answered(part: Part) -> tuple[list[int], Tensors]:
            """The rows of a part that are still waited for, and their answers."""
            rows, width = part
            rows = [row for row in rows if not (clients and clients[row].gone())]
            narrow = {name: array[:, :width] for name, array in tensors.items()}
            sent = narrow if one else {name: array.take(rows, axis=0) for name, array in narrow.items()}
            return rows, self.request(sent, [clients[row] for row in rows if clients]) if rows else {}

        parts = self.parts([int(np.count_nonzero(mask))] if one else mask.sum(axis=1).tolist())
        whole: Tensors = {}
        for rows, answers in (map if len(parts) == 1 else self.several)(answered, parts):
            for name, array in answers.items():
                size = mask.shape[1] if self.outputs[name][1][0] == -1 else array.shape[1]  # -1: along the length
                if one and array.shape[1] == size:
                    whole[name] = array
                    continue
                if name not in whole:
                    whole[name] = np.zeros((len(mask), size, *array.shape[2:]), array.dtype)
                width = min(array.shape[1], size)  # the engine may have joined a call with another of longer rows
                whole[name][rows, :width] = array[:, :width]
        if not whole:
            raise clients[0].gone()
        return whole

    def request(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:
        """One run of the engine: of its tensors, and who waits for each row."""
        raise NotImplementedError

    def parts(self, lengths: Sequence[int]) -> list[Part]:
        """The micro-batches of rows of these lengths, rows and width of each; their tokens are counted."""
        order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
        falling = [lengths[row] for row in order]
        buckets = self.buckets or range(falling[0] + 2)  # none: any length from 1 on
        widths = [buckets[bisect_left(buckets, max(length, 1))] for length in falling]
        cuts = self.cuts(widths, falling) if len(order) > 1 else [0, 1]
        parts = [(order[start:end], widths[start]) for start, end in itertools.pairwise(cuts)]
        tokens = sum(lengths)
        padded = sum(self.tokens(len(rows), width) for rows, width in parts)
        self.counts["calls"] += len(parts)
        self.counts["tokens"] += tokens
        self.counts["padded_tokens"] += padded if self.padding_cost == 1 else tokens
        return parts

    def cuts(self, widths: Sequence[int], lengths: Sequence[int]) -> list[int]:
        """Where to cut rows sorted by falling width: [0, ..., rows], at the least cost, by dynamic programming."""
        best = [(0.0, 0), *[(math.inf, 0)] * len(widths)]  # of so many rows: least cost, start of the last call
        for start, width in enumerate(widths):
            real = 0
            for end in range(start + 1, min(start + self.max_batch_size, len(widths)) + 1):
                real += lengths[end - 1]
                tokens = real + self.padding_cost * (self.tokens(end - start, width) - real)
                if end > start + 1 and tokens > self.max_tokens:
                    break
                if (cost := best[start][0] + self.call_tokens + tokens) < best[end][0]:
                    best[end] = cost, start
        cuts = [len(widths)]
        while cuts[0]:
            cuts.insert(0, best[cuts[0]][1])
        return cuts

    def tokens(self, rows: int, width: int) -> float:
        """How many tokens a call for that many rows and tokens has, padding included."""
        return rows * width
