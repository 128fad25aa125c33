"""Numbers that are none: NaN and infinity make no answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class NotFiniteError(ArithmeticError):
    """A tensor holds NaN or infinity."""


def refuse_broken_numbers(tensors: Mapping[str, np.ndarray], origin: str) -> None:
    """Raise NotFiniteError where one of the tensors holds NaN or infinity; `origin` says whose they are."""
    for name, array in tensors.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise NotFiniteError(
                f"{name} {origin} holds NaN or infinity: the engine's weights are broken (tbgen check --weights finds "
                "them), or its data type cannot hold its numbers"
            )
