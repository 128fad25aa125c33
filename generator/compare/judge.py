"""A graph's answers held against those of the library that wrote the checkpoint, on plain texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tbgen.backends.text_tensors import bytes_from_text
from tbgen.export.errors import UserError
from tbgen.export.parity.library import Library, short_text
from tbgen.export.run import Tensors
from tbgen.generator.compare.example import Item
from tbgen.generator.compare.library_answers import LIBRARY_ANSWERS, Answer, Answers, texts_in_pairs

Infer = Callable[[Tensors], Tensors]  # a request of one item -> all outputs
Expected = Sequence[tuple[Item, Answer]]


@dataclass(frozen=True)
class Judgement:
    """How far a graph's answers to some items are from the library's.

    max_abs: the largest difference of a number, over the largest number of its answer where that is above 1. flips: how
    many of `decisions` came out otherwise, those aside that are as good as even. worst: the item of the largest
    difference, and what both sides say there.
    """

    library: str
    items: int
    max_abs: float
    mean_abs: float
    decisions: int
    flips: int
    worst: str = ""

    def holds(self, tolerance: float, agreement: float) -> bool:
        """Whether that is within the bounds; NaN never is."""
        return self.max_abs <= tolerance and self.flips <= (1 - agreement) * self.decisions


def answers_for(task: str, *, pair: bool) -> Answers | None:
    """How a task's answers are held against a library; None where no library answers it. pair: it classifies pairs."""
    row = LIBRARY_ANSWERS.get(task)
    return replace(row, items=texts_in_pairs) if row and pair and task == "text-classification" else row


def expected_answers(row: Answers, library: Library, texts: Sequence[str]) -> list[tuple[Item, Answer]]:
    """The items that are asked, each with the library's answer. Raises UserError without the library."""
    return [(item, row.asked(library, item)) for item in row.items(library, texts)]


def judgement(row: Answers, library: str, expected: Expected, infer: Infer, *, near: float = 1e-4) -> Judgement:
    """Ask a graph the same items, one a request; the library's numbers that are so `near` may change places."""
    differences: list[np.ndarray] = []
    flips, largest, worst = 0, -1.0, ""
    for item, want in expected:
        have = row.served(infer(tensors_of(item)))
        differences.append(distances(want, have))
        flips += row.ranks and is_flip(want, have, near)
        if not differences[-1].max() <= largest:
            largest, worst = float(differences[-1].max()), _sentence(item, want, have)
    numbers = np.concatenate([*differences, np.zeros(0)])
    finite = numbers[np.isfinite(numbers)]
    return Judgement(
        library,
        len(expected),
        max_abs=float(numbers.max(initial=0.0)),
        mean_abs=float(finite.mean()) if finite.size else 0.0,
        decisions=len(expected) if row.ranks else 0,
        flips=flips,
        worst=worst,
    )


def tensors_of(item: Item) -> dict[str, np.ndarray]:
    """One item as a request: (1, 1) or (1, texts) arrays of UTF-8."""
    columns = {name: [value] if isinstance(value, str) else list(value) for name, value in item.items()}
    return {name: bytes_from_text(np.array([values], dtype=object)) for name, values in columns.items()}


def distances(want: Answer, have: Answer) -> np.ndarray:
    """The differences of all numbers that either side names, never empty; infinite where one side lacks what it must
    have, and for NaN.
    """
    scale = max([1.0, *(abs(value) for value in want.scores.values())])
    found = [_difference(want, have, key) / scale for key in {**want.scores, **have.scores}]
    return np.nan_to_num(np.array(found or [0.0]), nan=math.inf, posinf=math.inf)


def _difference(want: Answer, have: Answer, key: Any) -> float:
    """The difference of one number; of one that a side left out for being small, how far the other has it larger."""
    first, second = want.of(key), have.of(key)
    if want.cut and key not in have.scores:
        return max(0.0, first - second)
    if want.cut and key not in want.scores:
        return max(0.0, second - first)
    return abs(first - second)


def is_flip(want: Answer, have: Answer, near: float) -> bool:
    """Whether the best of one side is clearly not the best of the other."""
    if not have.scores or not want.scores:
        return bool(have.scores) != bool(want.scores)
    best = max(have.scores, key=lambda key: have.scores[key])
    return not want.of(best) >= max(want.scores.values()) - near


def _sentence(item: Item, want: Answer, have: Answer) -> str:
    """What both sides say of an item where they differ most."""
    keys = {**want.scores, **have.scores}
    key = max(keys, key=lambda key: float(np.nan_to_num(_difference(want, have, key), nan=math.inf)), default=None)
    text = short_text(str(next(iter(item.values()))))
    said = [f"{answer.scores[key]:.4g}" if key in answer.scores else "nothing" for answer in (have, want)]
    return f"for {text!r} it gives {said[0]} where the library gives {said[1]} (at {key})"


def refuse_other_answers(found: Judgement, front: str, tolerance: float, agreement: float) -> None:
    """Raise UserError where a graph's answers are not the library's."""
    if found.holds(tolerance, agreement):
        return
    what = f"differ by {found.max_abs:.2g} (the tolerance is {tolerance:g})"
    if found.max_abs <= tolerance:
        what = f"are others in {found.flips} of {found.decisions} decisions"
    raise UserError(
        f"the answers of {front} {what} from those of {found.library} on the same texts: {found.worst}. Nothing was "
        "written; --no-compare writes it all the same"
    )
