"""Numbers that are none: NaN and infinity make no answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class NotFiniteError(ArithmeticError):
    """A tensor holds NaN or infinity."""


def refuse_broken_numbers(tensors: Mapping[str, Any], step: Any = None) -> None:
    """Raise NotFiniteError where a tensor holds NaN or infinity; `step` gave them, or the request brought them."""
    for name, array in tensors.items():
        if isinstance(array, np.ndarray) and array.dtype.kind == "f" and not np.isfinite(array).all():
            model = getattr(step, "model", None)
            giver = model if isinstance(model, str) else type(step).__name__
            origin = "of the request" if step is None else f"from {giver}"
            raise NotFiniteError(
                f"{name} {origin} holds NaN or infinity: the engine's weights are broken (tbgen check --weights finds "
                "them), or its data type cannot hold its numbers"
            )
