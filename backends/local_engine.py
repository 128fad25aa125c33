"""An ONNX file of the version folder as a step: ONNX Runtime on the CPU, in the model's own process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .micro_batches import Tensors
from .own_process import OwnProcessEngine, missing

# How long a session's threads burn their cores waiting for their share of an operator; between runs they do not.
SPINNING = {"session.intra_op.spin_duration_us": "100", "session.force_spinning_stop": "1"}


class LocalEngine(OwnProcessEngine):
    """Runs an ONNX file of the version folder in this process: no call, no copy of its tensors.

    Args:
        folder: the version folder.
        file: name of the ONNX file there.
        lengths: the input that takes the rows' widths, INT32 (rows), for a file that takes its tokens flat; none: it
            takes (rows, length).
        threads: of the session, 0: as many as the processor has cores.
        others: as those of MicroBatches.
    """

    def __init__(
        self, folder: Path, *, file: str = "model.onnx", lengths: str = "", threads: int = 0, **others: Any
    ) -> None:
        super().__init__(folder / file, **others)
        self.lengths = lengths
        self.threads = threads

    def load(self, _: int = 0) -> None:
        """Open the file. Raises ImportError without ONNX Runtime, and its own errors for a file that it cannot run."""
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise missing(error) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self.threads
        options.enable_mem_pattern = False  # with ever new shapes it takes memory and gains no time
        for key, value in SPINNING.items():
            options.add_session_config_entry(key, value)
        self.session = onnxruntime.InferenceSession(str(self.file), options, providers=["CPUExecutionProvider"])

    def request(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:  # noqa: ARG002
        """One run of the session."""
        rows, width = tensors["attention_mask"].shape
        if self.lengths:
            tensors = {name: array.reshape(-1) for name, array in tensors.items()}
            tensors[self.lengths] = np.array([width] * rows, dtype=np.int32)
        names = list(self.outputs)
        return dict(zip(names, self.session.run(names, tensors), strict=True))
