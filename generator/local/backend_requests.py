"""Requests, responses and errors of the stand-in for `triton_python_backend_utils`."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tbgen.generator.local.backend_tensors import Tensor, TritonModelException


class Code(enum.IntEnum):
    """Triton's status codes."""

    UNKNOWN = 0
    INTERNAL = 1
    NOT_FOUND = 2
    INVALID_ARG = 3
    UNAVAILABLE = 4
    UNSUPPORTED = 5
    ALREADY_EXISTS = 6
    CANCELLED = 7


class MemoryType(enum.IntEnum):
    """Where a tensor may lie."""

    TRITONSERVER_MEMORY_GPU = 0
    TRITONSERVER_MEMORY_CPU = 1


class TritonError:
    """Why there is no answer."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = Code

    def __init__(self, message: str, code: Code = Code.INTERNAL) -> None:
        if not isinstance(code, Code):
            raise TypeError(f"TritonError takes a code of its own, for instance TritonError.INTERNAL, not {code!r}")
        self._message = message
        self._code = code

    def message(self) -> str:
        return self._message

    def code(self) -> Code:
        return self._code


class PreferredMemory:
    """Where the answer of a BLS call should lie; here always in the process's own memory."""

    def __init__(self, preferred_memory_type: MemoryType, preferred_device_id: int = 0) -> None:
        self.type = preferred_memory_type
        self.device = preferred_device_id


class InferenceTrace:
    """The trace of a request: here always an empty one."""

    def get_context(self) -> str | None:
        return None


class InferenceResponse:
    """Tensors, or an error."""

    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self._tensors = list(output_tensors)
        self._error = error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


class InferenceRequest:
    """A request: what `execute` gets, and what a BLS call is made with; `called` is the model and its version."""

    call: Callable[[InferenceRequest], InferenceResponse]  # set by `module_for`

    def __init__(
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Sequence[Tensor] | None = None,
        requested_output_names: Iterable[str] | None = None,
        model_name: str | None = None,
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: PreferredMemory | None = None,  # noqa: ARG002 - all memory is the process's own
        trace: InferenceTrace | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        if inputs is None or requested_output_names is None or model_name is None:
            raise TypeError("an InferenceRequest takes inputs, requested_output_names and model_name")
        for value in (parameters or {}).values():
            if not isinstance(value, (bool, int, str)):
                raise TritonModelException(
                    f"Expect parameters values to have type bool/int/str, found type {type(value)}"
                )
        self._id, self._correlation_id = request_id, correlation_id
        self._inputs, self._wanted = list(inputs), set(requested_output_names)
        self.called = (model_name, model_version)
        self._flags, self._timeout, self._trace = flags, timeout, trace or InferenceTrace()
        self._parameters = json.dumps(dict(parameters)) if parameters else "{}"

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def request_id(self) -> str:
        return self._id

    def correlation_id(self) -> int | str:
        return self._correlation_id

    def requested_output_names(self) -> set[str]:
        return self._wanted

    def parameters(self) -> str:
        return self._parameters

    def take_parameters(self, text: str) -> None:
        """Parameters as a client sent them, numbers with fractions too; Triton's own class has no such method."""
        self._parameters = text

    def flags(self) -> int:
        return self._flags

    def set_flags(self, flags: int) -> None:
        self._flags = flags

    def timeout(self) -> int:
        return self._timeout

    def trace(self) -> InferenceTrace:
        return self._trace

    def is_cancelled(self) -> bool:
        return False

    def exec(self, decoupled: bool = False) -> InferenceResponse:
        """Call the model and wait for its answer."""
        if decoupled:
            raise TritonModelException("decoupled models are not run without Triton")
        return type(self).call(self)

    async def async_exec(self, decoupled: bool = False) -> InferenceResponse:
        """Call the model from another thread."""
        return await asyncio.to_thread(self.exec, decoupled)


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    return next((tensor for tensor in inference_request.inputs() if tensor.name() == name), None)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    return next((tensor for tensor in inference_response.output_tensors() if tensor.name() == name), None)
