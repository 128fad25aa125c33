"""A TensorRT plan of the version folder as a step: TensorRT in the model's own process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .fixed_shapes import FixedShapes
from .micro_batches import Tensors
from .own_process import OwnProcessEngine, missing
from .plan_session import PlanSession


class PlanEngine(FixedShapes, OwnProcessEngine):
    """Runs a TensorRT plan of the version folder in this process.

    Args:
        folder: the version folder.
        plan: name of the plan there.
        cuda_graphs: record the run of each shape as a CUDA graph at its second use.
        others: as those of FixedShapes.
    """

    def __init__(self, folder: Path, *, plan: str = "model.plan", cuda_graphs: bool = False, **others: Any) -> None:
        super().__init__(folder / plan, **others)
        self.cuda_graphs = cuda_graphs

    def load(self, device: int = 0) -> None:
        """Load the plan on a GPU. Raises ImportError without tensorrt, PlanError where it cannot be run."""
        try:
            import tensorrt  # noqa: F401
        except ModuleNotFoundError as error:
            raise missing(error) from error
        self.session = PlanSession(self.file, device=max(device, 0), graphs=self.cuda_graphs)

    def run(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:  # noqa: ARG002
        """One run of the plan."""
        answers: Tensors = self.session.run(tensors)
        return answers
