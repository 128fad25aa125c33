"""The engine as a step: another Triton model, called in micro-batches."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .micro_batches import MicroBatches, Tensors

pb_utils: Any = sys.modules.get("triton_python_backend_utils")  # as model.py has it; outside Triton there is none


class EngineError(RuntimeError):
    """The engine answered with an error; carries Triton's status code."""

    def __init__(self, message: str, triton_code: Any) -> None:
        super().__init__(message)
        self.triton_code = triton_code


@dataclass(eq=False)
class Engine(MicroBatches):
    """Calls the model `model` of the same server."""

    folder: Path  # the version folder; nothing is read from it
    _: KW_ONLY
    model: str
    parallel_calls: int = 2  # in flight at once; serial calls leave engine instances idle

    def __post_init__(self) -> None:
        super().__post_init__()
        self.several = ThreadPoolExecutor(self.parallel_calls, f"call-{self.model}").map

    def request(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:
        """One request, with the longest timeout of its clients, and the first one's trace. Raises EngineError."""
        timeouts, trace = [client.timeout() for client in clients], clients[0].trace() if clients else None
        request = pb_utils.InferenceRequest(
            model_name=self.model,
            requested_output_names=list(self.outputs),
            inputs=[pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in tensors.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
            timeout=max(timeouts) if timeouts and all(timeouts) else 0,
            **({"trace": trace} if trace else {}),
        )
        response = request.exec()
        if response.has_error():
            raise EngineError(response.error().message(), response.error().code())
        return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in self.outputs}
