"""What the engines share that run in the model's own process: their file, and what to do about a missing package."""

from pathlib import Path
from typing import Any

from .micro_batches import MicroBatches


class OwnProcessEngine(MicroBatches):
    """An engine's file, opened when a server loads the model; one run at a time.

    Args:
        file: where it is.
        others: as those of MicroBatches.
    """

    def __init__(self, file: Path, **others: Any) -> None:
        super().__init__(**others)
        self.file = file
        self.session: Any = None


def missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """What to do about a package that an engine in this process needs."""
    return ModuleNotFoundError(
        f"this model runs its engine itself, and its Python has no {error.name}: bring it along with tbgen env pack, "
        "or install it where Triton runs"
    )
