"""What each request must be answered: its answer when asked alone; and whether an answer under load equals it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tbgen.export.errors import UserError
from tbgen.export.reading import reason_of
from tbgen.export.run import Tensors
from tbgen.server.bench.texts import Inputs
from tbgen.server.bench.wire import ANSWER_READERS
from tbgen.server.client.connection import Connection

_KNOWN_FORMS = 16  # byte forms of one right answer that are kept: last bits vary with the batch it was computed in


@dataclass(frozen=True)
class ReferenceAnswers:
    """Requests that the model answers when asked alone, their answers, and why the others are refused."""

    requests: Sequence[Inputs]
    expected: Sequence[Tensors]
    refused: Mapping[str, int]


def ask_alone(
    connection: Connection, model: str, requests: Sequence[Inputs], on_progress: Callable[[str, float], None]
) -> ReferenceAnswers:
    """Ask one after the other, nothing else in flight. Raises UserError when none is answered."""
    answered: list[Inputs] = []
    expected: list[Tensors] = []
    refused: dict[str, int] = {}
    for index, request in enumerate(requests):
        try:
            expected.append(connection.infer(model, request))
            answered.append(request)
        except UserError as error:
            refused[error.message] = refused.get(error.message, 0) + 1
            if not answered and index >= 2:
                raise
        on_progress(f"{model}: each text alone, for its answer", (index + 1) / len(requests))
    if not answered:
        raise UserError(next(iter(refused)))
    return ReferenceAnswers(answered, expected, refused)


class Checker:
    """Compares answers with the expected ones; equal bytes are recognised without being read.

    Args:
        protocol: "http" or "grpc", the form of the answers.
        expected: for each request, output name -> array.
        tolerance: most that a floating-point value may differ, absolute, or relative above 1.
    """

    def __init__(self, protocol: str, expected: Sequence[Tensors], tolerance: float) -> None:
        self.read = ANSWER_READERS[protocol]
        self.expected = expected
        self.tolerance = tolerance
        self.known: list[set[bytes]] = [set() for _ in expected]

    def difference(self, index: int, body: bytes, head_size: int = 0) -> str | None:
        """How the answer to request `index` differs from the expected one; None when it does not."""
        if body in self.known[index]:
            return None
        try:
            found = difference(self.expected[index], self.read(body, head_size), self.tolerance)
        except Exception as error:  # noqa: BLE001, whatever comes of reading what is no answer
            return f"unreadable answer: {reason_of(error)}"
        if found is None and len(self.known[index]) < _KNOWN_FORMS:
            self.known[index].add(body)
        return found


def difference(expected: Tensors, answer: Tensors, tolerance: float) -> str | None:
    """The first output that differs, in words; None when all are equal within the tolerance."""
    if missing := expected.keys() ^ answer.keys():
        return f"outputs {', '.join(sorted(missing))} in one answer only"
    for name, right in expected.items():
        got = answer[name]
        if right.shape != got.shape:
            return f"{name}: shape {list(got.shape)} instead of {list(right.shape)}"
        if np.issubdtype(right.dtype, np.floating):
            if not np.allclose(got, right, rtol=tolerance, atol=tolerance, equal_nan=True):
                return f"{name}: off by {np.nanmax(np.abs(got.astype(float) - right)):.3g}"
        elif not np.array_equal(got, right):
            return f"{name}: {_shown(got)} instead of {_shown(right)}"
    return None


def _shown(array: np.ndarray) -> str:
    """The first values of an array."""
    values = [value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value for value in array.ravel()]
    return ", ".join(map(str, values[:3])) + ("..." if len(values) > 3 else "")
