"""Micro-batches for an engine that takes certain shapes alone, such as a plan's profiles."""

import functools
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .micro_batches import MicroBatches, Tensors


class FixedShapes(MicroBatches):
    """Fills each call up with padding to the cheapest shape that holds it; a subclass says in `run` how one is run.

    Args:
        shapes: if given, the only shapes there are, each [least rows, most rows, least tokens, most tokens].
        others: as those of MicroBatches.
    """

    def __init__(self, *args: Any, shapes: Sequence[Sequence[int]] = (), **others: Any) -> None:
        super().__init__(*args, **others)
        longest = self.buckets[-1] if self.buckets else sys.maxsize
        self.shapes = [tuple(shape) for shape in shapes] or [(1, self.max_batch_size, 1, longest)]
        self.tokens = functools.cache(self.tokens)  # type: ignore[method-assign]

    def tokens(self, rows: int, width: int) -> float:
        """How many tokens the smallest shape has that holds so many rows and tokens; infinite where none does."""
        return min(map(math.prod, self.fitting(rows, width)), default=math.inf)

    def fitting(self, rows: int, width: int) -> list[tuple[int, int]]:
        """The smallest call of each of the shapes that hold so many rows and tokens."""
        return [
            (max(rows, least_rows), max(width, least_tokens))
            for least_rows, most_rows, least_tokens, most_tokens in self.shapes
            if rows <= most_rows and width <= most_tokens
        ]

    def request(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:
        """One run of the engine, filled up to a shape that it takes; its answers are cut back."""
        rows, width = tensors["attention_mask"].shape
        shape = min(self.fitting(rows, width), key=math.prod)
        if shape == (rows, width):
            return self.run(tensors, clients)
        filled = {name: np.zeros(shape, array.dtype) for name, array in tensors.items()}
        for name, array in tensors.items():
            filled[name][:rows, :width] = array
        answers = self.run(filled, clients)
        return {
            name: array[:rows, :width] if self.outputs[name][1][0] == -1 else array[:rows]
            for name, array in answers.items()
        }

    def run(self, tensors: Tensors, clients: Sequence[Any]) -> Tensors:
        """One run of the engine, of a shape that it takes."""
        raise NotImplementedError
