"""Two sides' answers to one item, and how far they are apart: the largest difference of a number, and the decisions.

The rule of near ties, here alone: a decision that the library takes by less than NEAR is as good as even and is not
counted; how many were left out is reported. A decision is two neighbours in the library's order, which of them comes
first; of token-classification it is a text's whole list of entities, taken by the surest class of its least sure token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

NEAR = 1e-3
TOLERANCE = 1e-4  # of a number, over the largest number of its answer where that is above 1


@dataclass(frozen=True)
class Answer:
    """One side's answer to an item.

    numbers: by what they belong to: a class, a token, a text, a place of a vector. orders: of those that are chosen,
    the best first; one for each mask of a text, one alone elsewhere. margin: by how much the order as a whole was
    chosen, where it is one decision. absent: the number of what is not named; None where only the largest are named.
    """

    numbers: dict[Any, float]
    orders: Sequence[Sequence[Any]] = ()
    margin: float | None = None
    absent: float | None = math.inf


@dataclass(frozen=True)
class Found:
    """How far one side's answers are from the other's. decisions: counted; near: left out; others: came out otherwise.

    worst: names of the items that are furthest apart or decided otherwise.
    """

    items: int = 0
    largest: float = 0.0
    decisions: int = 0
    near: int = 0
    others: int = 0
    worst: tuple[str, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether these are the same answers."""
        return self.largest <= TOLERANCE and not self.others

    def __add__(self, other: Found) -> Found:
        largest = max(self.largest, other.largest)
        sums = {name: getattr(self, name) + getattr(other, name) for name in ("items", "decisions", "near", "others")}
        return replace(self, largest=largest, worst=(*self.worst, *other.worst), **sums)


def compared(name: str, want: Answer, have: Answer) -> Found:
    """The library's answer to an item beside the served one."""
    whole = want.margin is not None
    margins = [(want.margin, want.orders == have.orders)] if whole else list(neighbours(want, have))
    counted = [same for margin, same in margins if margin >= NEAR]
    even = whole and not counted  # then both sides may well name other things
    largest = 0.0 if even else difference(want, have)
    others = counted.count(False)
    worst = () if largest <= TOLERANCE and not others else (name,)
    return Found(1, largest, len(counted), len(margins) - len(counted), others, worst)


def neighbours(want: Answer, have: Answer) -> Iterator[tuple[float, bool]]:
    """For each two neighbours in the library's orders: by how much it puts one first, and whether the other does, too.

    What the other side does not name comes behind all that it names.
    """
    if len(want.orders) != len(have.orders):
        yield math.inf, False
        return
    for theirs, ours in zip(want.orders, have.orders, strict=True):
        place = {key: number for number, key in enumerate(ours)}
        for first, second in pairwise(theirs):
            same = place.get(first, math.inf) < place.get(second, math.inf)
            yield want.numbers[first] - want.numbers[second], same


def difference(want: Answer, have: Answer) -> float:
    """The largest difference of a number; infinite where one side alone has one, and for NaN."""
    scale = max([1.0, *(abs(number) for number in want.numbers.values())])
    keys = have.numbers.keys() | (want.numbers.keys() if have.absent is not None else set())
    apart = [abs(want.numbers.get(key, want.absent) - have.numbers.get(key, have.absent)) / scale for key in keys]
    return max(apart, default=0.0) if all(map(math.isfinite, apart)) else math.inf
