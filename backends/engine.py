"""The engine as a step: another Triton model, called in micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .micro_batches import MicroBatches, Tensors

try:
    import triton_python_backend_utils as pb_utils
except ModuleNotFoundError:  # outside Triton the step can be constructed and wired, not called
    pb_utils = None


class EngineError(RuntimeError):
    """The engine answered with an error; carries Triton's status code."""

    def __init__(self, message: str, triton_code: Any) -> None:
        super().__init__(message)
        self.triton_code = triton_code


def terms(clients: Sequence[Any]) -> dict[str, Any]:
    """What a call for these clients carries: the longest of their timeouts, and the first one's trace."""
    if not clients:
        return {}
    timeouts = [client.timeout() for client in clients]
    return {"timeout": max(timeouts) if all(timeouts) else 0, "trace": clients[0].trace()}


class Engine(MicroBatches):
    """Calls the model `model` of the same server.

    Args:
        folder: the version folder; nothing is read from it.
        model: name of the Triton model that is called.
        parallel_calls: calls in flight at once; serial calls leave engine instances idle.
        others: as those of MicroBatches.
    """

    def __init__(self, folder: Path, *, model: str, parallel_calls: int = 2, **others: Any) -> None:  # noqa: ARG002
        super().__init__(**others)
        self.model = model
        if parallel_calls > 1:
            self.several = ThreadPoolExecutor(parallel_calls, f"call-{model}").map

    def request(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:
        """One request to the engine as it is. Raises EngineError."""
        request = pb_utils.InferenceRequest(
            model_name=self.model,
            requested_output_names=list(self.outputs),
            inputs=[pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in tensors.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
            **terms(clients),
        )
        response = request.exec()
        if response.has_error():
            raise EngineError(response.error().message(), response.error().code())
        return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in self.outputs}
