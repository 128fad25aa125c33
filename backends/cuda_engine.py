"""An ONNX file of the version folder as a step: ONNX Runtime on a GPU, from the model's own process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .cuda_graphs import CudaGraphs
from .cuda_session import cuda_session
from .micro_batches import Tensors
from .own_process import OwnProcessEngine


class CudaEngine(OwnProcessEngine):
    """Runs an ONNX file of the version folder on a GPU; one thread.

    Args:
        folder: the version folder.
        file: name of the ONNX file there.
        lengths: the input that takes the rows' lengths, INT32 (rows), for a file that takes its tokens flat; none: it
            takes (rows, length). Flat tokens are sent without padding, with a mask if the file takes one.
        cuda: settings of the CUDA provider.
        graph_tokens: most tokens of a run that is recorded as a CUDA graph; 0: none is. For flat tokens.
        longest: most tokens of a text.
        others: as those of MicroBatches.
    """

    def __init__(
        self,
        folder: Path,
        *,
        file: str = "model.onnx",
        lengths: str = "",
        cuda: Mapping[str, str] = {},
        graph_tokens: int = 0,
        longest: int = 0,
        **others: Any,
    ) -> None:
        super().__init__(folder / file, **others)
        self.lengths, self.cuda = lengths, cuda
        self.graph_tokens, self.longest = graph_tokens, longest
        self.graphs: CudaGraphs | None = None

    def load(self, device: int = 0) -> None:
        """Open the file on a GPU, -1: on the CPU, where this is run without Triton. Raises as cuda_session does."""
        recording = bool(self.graph_tokens) and device >= 0
        more = {"enable_cuda_graph": "1"} if recording else {}
        self.session = cuda_session(self.file, device, {**self.cuda, **more})
        self.taken = {each.name for each in self.session.get_inputs()}
        if recording:
            self.graphs = CudaGraphs(
                self.session, self.lengths, most=self.graph_tokens, longest=self.longest, device=device
            )
            self.graphs.record_lone_texts()

    def request(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:  # noqa: ARG002
        """One run of the session."""
        if self.lengths:
            tensors = {name: array for name, array in packed(tensors, self.lengths).items() if name in self.taken}
        done = self.graphs.run(tensors) if self.graphs else None
        if done is not None:
            return done
        names = list(self.outputs)
        eager = self.graphs.eager if self.graphs else None
        return dict(zip(names, self.session.run(names, tensors, eager), strict=True))


def packed(tensors: Tensors, lengths: str) -> Tensors:
    """(rows, length) tensors without their padding, (tokens,), and the rows' lengths; a row keeps its first token."""
    real = tensors["attention_mask"] > 0
    real[:, 0] = True
    return {name: array[real] for name, array in tensors.items()} | {lengths: real.sum(axis=1, dtype=np.int32)}
