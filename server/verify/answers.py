"""A served graph's answers beside those of the library that wrote the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from tbgen.export.errors import UserError
from tbgen.export.parity.library import Library
from tbgen.export.parity.parity import Parity, figure
from tbgen.export.run import Tensors
from tbgen.generator.compare.judge import Expected, expected_answers, judgement, tensors_of
from tbgen.generator.compare.library_answers import Answers
from tbgen.generator.models.config import specs_from_json
from tbgen.server.client.connection import Connection
from tbgen.server.verify.steps import distance, first_item, refuse_unfit


def answers_parity(
    front: str,
    texts: Sequence[str],
    connection: Connection,
    row: Answers,
    library: Library,
    near: float,
    tell: Callable[[int, int], None],
) -> Parity:
    """Each item alone against the library, and beside the longest against itself. Raises UserError without it."""
    expected = _expected(row, library, tuple(texts))
    longest = tensors_of(max((item for item, _ in expected), key=lambda item: sum(map(len, item.values()))))
    told = specs_from_json(connection.config(front)["output"])
    paddings: list[float] = []

    def infer(tensors: Tensors) -> Tensors:
        tell(len(paddings) + 1, len(expected))
        alone = connection.infer(front, tensors)
        given = {name: spec for name, spec in told.items() if name in alone}  # others come where they are asked for
        refuse_unfit(front, alone, given, 1)
        beside = connection.infer(front, {name: np.concatenate([tensors[name], longest[name]]) for name in tensors})
        refuse_unfit(front, beside, given, 2)
        paddings.append(max(_moved(alone[name], first_item(beside[name], alone[name])) for name in given))
        return alone

    try:
        found = judgement(row, library.name, expected, infer, near=near)
    except KeyError as error:
        raise UserError(f"{front!r} answers without {error}; see the server's log") from error
    return Parity(
        texts=found.items,
        max_abs=figure(found.max_abs),
        mean_abs=figure(found.mean_abs),
        decisions=found.decisions,
        flips=found.flips,
        padding_abs=figure(max(paddings)),
    )


@lru_cache(1)
def _expected(row: Answers, library: Library, texts: tuple[str, ...]) -> Expected:
    """What the library says of the texts, which it is asked once for all graphs."""
    return expected_answers(row, library, texts)


def _moved(alone: np.ndarray, beside: np.ndarray) -> float:
    """How far numbers are from those of the same item beside another; infinite for other words."""
    if alone.dtype.kind == "f":
        return float(distance(alone, beside).max())
    return 0.0 if np.array_equal(alone, beside) else float("inf")
