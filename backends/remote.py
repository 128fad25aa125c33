"""A separate step: another Triton model that takes and gives a chain's tensors as they are."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .packed_parameters import PACKED

try:
    import triton_python_backend_utils as pb_utils
except ModuleNotFoundError:  # outside Triton the step can be constructed and wired, not called
    pb_utils = None

Tensors = dict[str, np.ndarray]


class RemoteError(RuntimeError):
    """The separate step failed; carries Triton's status code."""

    def __init__(self, message: str, triton_code: Any) -> None:
        super().__init__(message)
        self.triton_code = triton_code


class Remote:
    """Calls the model `callee` of the same server with the joined batch.

    Args:
        folder: the version folder; nothing is read from it.
        callee: name of the Triton model that is called; it takes as many items as this model joins.
        inputs, outputs: its tensors, name -> [data type, dims without the batch axis].
        parameters: the request parameters that it takes, name -> rule; they are passed on.
        on_request: those of its outputs that it gives only when a parameter asks for them.
    """

    takes_clients = True

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        callee: str,
        inputs: Mapping[str, Sequence[Any]],
        outputs: Mapping[str, Sequence[Any]],
        parameters: Mapping[str, Mapping[str, Any]],
        on_request: Sequence[str] = (),
    ) -> None:
        self.callee = callee
        self.inputs = {name: tuple(spec) for name, spec in inputs.items()}
        self.outputs = {name: tuple(spec) for name, spec in outputs.items()}
        self.parameters = dict(parameters)
        self.on_request = tuple(on_request)

    def __call__(self, *, clients: Sequence[Any] = (), **given: Any) -> Tensors:
        """The callee's tensors in and out; text as str. Raises ValueError for what it refuses, RemoteError.

        clients: who waits for each item; the call takes the trace of the first. given: the tensors, and the parameters
        of the request, if it has any.
        """
        sent = {name: self.encoded(name, given[name]) for name in self.inputs}
        chosen = {name: value for name, value in given.items() if name not in self.inputs}
        trace = clients[0].trace() if clients else None
        terms: dict[str, Any] = {"trace": trace} if trace else {}
        if chosen:
            terms["parameters"] = {PACKED: json.dumps(chosen, ensure_ascii=False)}
        request = pb_utils.InferenceRequest(
            model_name=self.callee,
            requested_output_names=list(self.outputs),
            inputs=[pb_utils.Tensor(name, array) for name, array in sent.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
            **terms,
        )
        response = request.exec()
        if response.has_error():
            message, code = response.error().message(), response.error().code()
            raise ValueError(message) if self.refuses(message, code) else RemoteError(message, code)
        given_back = {tensor.name() for tensor in response.output_tensors()}
        return {name: self.decoded(name, response) for name in self.outputs if name in given_back}

    def refuses(self, message: str, code: Any) -> bool:
        """Whether an error is the client's: by its code, or as model.py writes it, for Triton 2.51 hands on no code.

        model.py writes `model: sentence` for what a client sent, `model: Type: text` for a bug.
        """
        said = re.fullmatch(rf"{re.escape(self.callee)}: (?!\w+: ).*", message, re.DOTALL)
        return code == pb_utils.TritonError.INVALID_ARG or said is not None

    def encoded(self, name: str, array: np.ndarray) -> np.ndarray:
        """An input as Triton takes it: text as bytes."""
        if self.inputs[name][0] != "TYPE_STRING":
            return np.ascontiguousarray(array)
        return np.array([str(text).encode("utf-8") for text in array.ravel()], dtype=object).reshape(array.shape)

    def decoded(self, name: str, response: Any) -> np.ndarray:
        """An output as steps take it: text as str."""
        array: np.ndarray = pb_utils.get_output_tensor_by_name(response, name).as_numpy()
        if self.outputs[name][0] != "TYPE_STRING":
            return array
        return np.array([text.decode("utf-8") for text in array.ravel()], dtype=object).reshape(array.shape)
