"""Stands in for `triton_python_backend_utils` in a process without Triton: what a Python model reads and answers with.

Same names, arguments and answers as the module that Triton's Python backend (2.51) gives its models; the tests run one
model on both. Not here: decoupled models, DLPack, shared memory of GPUs, loading and unloading of models; nothing is
ever traced or cancelled.
"""

from __future__ import annotations

import asyncio
import enum
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

NAME = "triton_python_backend_utils"
DATA_TYPES: dict[str, Any] = {
    "TYPE_BOOL": bool,
    "TYPE_UINT8": np.uint8,
    "TYPE_UINT16": np.uint16,
    "TYPE_UINT32": np.uint32,
    "TYPE_UINT64": np.uint64,
    "TYPE_INT8": np.int8,
    "TYPE_INT16": np.int16,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_STRING": np.object_,
}
CONSTANTS = {
    "TRITON_STRING_TO_NUMPY": DATA_TYPES,
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_START": 1,
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_END": 2,
    "TRITONSERVER_RESPONSE_COMPLETE_FINAL": 1,
    "TRITONSERVER_REQUEST_RELEASE_ALL": 1,
    "TRITONSERVER_REQUEST_RELEASE_RESCHEDULE": 2,
}


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


class MetricKind(enum.IntEnum):
    """What a metric may do."""

    COUNTER = 0
    GAUGE = 1
    HISTOGRAM = 2


class Level(enum.IntEnum):
    """How loud a line of the log is."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    VERBOSE = 3


class TritonModelException(Exception):
    """What the calls of this module raise."""


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


class Tensor:
    """A named array."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"a Tensor is made of a numpy array, not of {array!r}")
        if numpy_to_triton_type(array.dtype) is None:
            raise TritonModelException("NumPy dtype is not supported.")
        self._name = name
        self._array = array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def triton_dtype(self) -> int:
        """Fails as Triton's does, which gives a type that Python does not know."""
        raise TypeError("Unable to convert function return value to a Python type")

    def is_cpu(self) -> bool:
        return True


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


class Metric:
    """A number that goes nowhere."""

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        self.labels = dict(labels or {})
        self._value = 0.0

    def increment(self, value: float) -> None:
        self._value += value

    def set(self, value: float) -> None:
        self._value = value

    def value(self) -> float:
        return self._value


class MetricFamily:
    """Metrics of one name, seen by nobody."""

    COUNTER, GAUGE, HISTOGRAM = MetricKind

    def __init__(self, name: str, description: str, kind: MetricKind) -> None:
        self.name, self.description, self.kind = name, description, kind

    def Metric(self, labels: Mapping[str, str] | None = None) -> Metric:
        """A metric of the family."""
        return Metric(labels)


class Logger:
    """The server's log: Python's logger `tbgen.run`."""

    LogLevel = Level
    INFO, WARNING, ERROR, VERBOSE = Level
    LEVELS = {
        Level.INFO: logging.INFO,
        Level.WARNING: logging.WARNING,
        Level.ERROR: logging.ERROR,
        Level.VERBOSE: logging.DEBUG,
    }

    @staticmethod
    def log(message: str, level: Level = Level.INFO) -> None:
        logging.getLogger("tbgen.run").log(Logger.LEVELS[level], "%s", message)

    @staticmethod
    def log_info(message: str) -> None:
        Logger.log(message, Level.INFO)

    @staticmethod
    def log_warn(message: str) -> None:
        Logger.log(message, Level.WARNING)

    @staticmethod
    def log_error(message: str) -> None:
        Logger.log(message, Level.ERROR)

    @staticmethod
    def log_verbose(message: str) -> None:
        Logger.log(message, Level.VERBOSE)


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    return next((tensor for tensor in inference_request.inputs() if tensor.name() == name), None)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    return next((tensor for tensor in inference_response.output_tensors() if tensor.name() == name), None)


def get_input_config_by_name(model_config: Mapping[str, Any], name: str) -> Any:
    return next((row for row in model_config.get("input", ()) if row["name"] == name), None)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> Any:
    return next((row for row in model_config.get("output", ()) if row["name"] == name), None)


def using_decoupled_model_transaction_policy(model_config: Mapping[str, Any]) -> bool:
    return model_config.get("model_transaction_policy", {"decoupled": False})["decoupled"]


def triton_to_numpy_type(data_type: int) -> Any:
    """The numpy type of one of Triton's numbers, 1 (BOOL) to 13 (BYTES)."""
    kinds = [np.bool_, *list(DATA_TYPES.values())[1:]]
    return kinds[data_type - 1] if 1 <= data_type <= len(kinds) else None


def numpy_to_triton_type(data_type: Any) -> int | None:
    """Triton's number of a numpy type."""
    kind = np.dtype(data_type)
    if kind.kind == "S":
        return len(DATA_TYPES)
    return next((number for number, known in enumerate(DATA_TYPES.values(), 1) if kind == np.dtype(known)), None)


def triton_string_to_numpy(triton_type_string: str) -> Any:
    return DATA_TYPES[triton_type_string]


class ModelConfig:
    """A configuration that a model completes by itself."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def as_dict(self) -> dict[str, Any]:
        return self._config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        if self._config["max_batch_size"] > max_batch_size:
            raise ValueError(f"configuration specified max_batch_size {self._config['max_batch_size']}")
        self._config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        self._config.setdefault("dynamic_batching", {})

    def add_input(self, tensor: dict[str, Any]) -> None:
        self._add("input", tensor)

    def add_output(self, tensor: dict[str, Any]) -> None:
        self._add("output", tensor)

    def _add(self, kind: str, tensor: dict[str, Any]) -> None:
        if all(known["name"] != tensor["name"] for known in self._config[kind]):
            self._config[kind].append(tensor)


GIVEN: tuple[Any, ...] = (
    TritonModelException,
    TritonError,
    PreferredMemory,
    InferenceTrace,
    Tensor,
    InferenceResponse,
    MetricFamily,
    ModelConfig,
    Logger,
    get_input_tensor_by_name,
    get_output_tensor_by_name,
    get_input_config_by_name,
    get_output_config_by_name,
    using_decoupled_model_transaction_policy,
    triton_to_numpy_type,
    numpy_to_triton_type,
    triton_string_to_numpy,
)


def sent(array: np.ndarray) -> np.ndarray:
    """An array as it is on its other side: one piece, texts as bytes."""
    if array.dtype.kind not in "OS":
        return np.ascontiguousarray(array).reshape(array.shape)
    raw = [value if isinstance(value, bytes) else str(value).encode("utf-8") for value in array.ravel().tolist()]
    filled = np.empty(len(raw), dtype=object)
    filled[:] = raw
    return filled.reshape(array.shape)


def module_for(call: Callable[[InferenceRequest], InferenceResponse]) -> ModuleType:
    """The module that models import; their BLS calls go to `call`."""
    module = ModuleType(NAME, __doc__)
    bound = type("InferenceRequest", (InferenceRequest,), {"call": staticmethod(call)})
    memory = {kind.name: kind for kind in MemoryType}
    vars(module).update({each.__name__: each for each in GIVEN}, InferenceRequest=bound, **CONSTANTS, **memory)
    return module
