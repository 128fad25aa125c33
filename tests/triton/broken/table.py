"""The table of broken models: each row takes a good model and changes one thing; some changes do no harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.triton.broken.changes import Break
from tests.triton.broken.configs import CORE
from tests.triton.broken.engines import ONNX
from tests.triton.broken.ensembles import ENSEMBLES
from tests.triton.broken.python_models import PYTHON, WAITING
from tests.triton.broken.ragged import FAILING, RAGGED, WRONG
from tests.triton.broken.warm_ups import ENDING, WARM_UPS


@dataclass(frozen=True)
class Row:
    """What is broken: the good model, the change to its folder, and whose rule it is."""

    model: Callable[[Path], Path]
    change: Break
    decided_by: Literal["core", "python", "onnx"]


CORE_ROWS = CORE | ENSEMBLES | WARM_UPS | ENDING
PYTHON_ROWS = PYTHON | WAITING
ONNX_ROWS = ONNX | RAGGED | FAILING | WRONG
ROWS = (
    {name: Row(*row, "core") for name, row in CORE_ROWS.items()}
    | {name: Row(*row, "python") for name, row in PYTHON_ROWS.items()}
    | {name: Row(*row, "onnx") for name, row in ONNX_ROWS.items()}
)
