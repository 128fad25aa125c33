"""A Python model that exercises triton_python_backend_utils and reports, as JSON, what each call gave or raised."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

CONFIG = """
backend: "python" max_batch_size: 4
input { name: "text" data_type: TYPE_STRING dims: 1 }
input { name: "numbers" data_type: TYPE_FP32 dims: -1 }
output { name: "report" data_type: TYPE_STRING dims: 1 }
output { name: "twice" data_type: TYPE_FP32 dims: -1 }
instance_group { kind: KIND_CPU count: 1 }
parameters { key: "word" value { string_value: "상한가" } }
"""


class TritonPythonModel:
    """`report` (batch, 1): everything seen, the same for each row; `twice`: the numbers doubled, as float32."""

    def initialize(self, args: dict[str, str]) -> None:
        self.args = args
        self.config = json.loads(args["model_config"])
        family = pb_utils.MetricFamily("probe_count", "what the probe counts", pb_utils.MetricFamily.COUNTER)
        self.family, self.metric = family, family.Metric(labels={"of": "calls"})

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()
        if texts[0, 0] == b"refuse":
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("거절", pb_utils.TritonError.UNAVAILABLE))
        numbers = pb_utils.get_input_tensor_by_name(request, "numbers").as_numpy()
        seen = {name: attempt(case, self, request) for name, case in CASES.items()}
        report = np.array([[json.dumps(seen)] for _ in texts], dtype=object)
        return pb_utils.InferenceResponse([pb_utils.Tensor("report", report), pb_utils.Tensor("twice", numbers * 2)])


def attempt(case: Callable[[Any, Any], Any], model: Any, request: Any) -> Any:
    """What a case gives; of an error its class, and of Triton's own the words."""
    try:
        return plainly(case(model, request))
    except pb_utils.TritonModelException as error:
        return f"TritonModelException: {error}"
    except (TypeError, ValueError, AttributeError) as error:
        return type(error).__name__


def plainly(value: Any) -> Any:
    """A value that JSON can carry."""
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), [str(item) for item in value.ravel().tolist()]]
    return sorted(value) if isinstance(value, set) else value


def call(text: str, model: str = "probe", **more: Any) -> Any:
    """The response of a BLS call."""
    inputs = [
        pb_utils.Tensor("text", np.array([[text.encode("utf-8")]], dtype=object)),
        pb_utils.Tensor("numbers", np.array([[1.5, 2.5]], dtype=np.float32).T.reshape(1, 2)),
    ]
    return pb_utils.InferenceRequest(model_name=model, inputs=inputs, requested_output_names=["twice"], **more).exec()


def error_of(response: Any) -> list[Any]:
    return [response.has_error(), int(response.error().code()), response.error().message(), response.output_tensors()]


def request_with(**more: Any) -> Any:
    return pb_utils.InferenceRequest(**{"model_name": "m", "inputs": [], "requested_output_names": ["a", "b"]} | more)


def numbers(kind: Any) -> np.ndarray:
    return np.zeros((2, 3), dtype=kind)


CASES: dict[str, Callable[[Any, Any], Any]] = {
    "arguments": lambda model, _: {
        key: value for key, value in model.args.items() if key not in ("model_config", "model_repository")
    },
    "config": lambda model, _: [model.config[key] for key in ("name", "backend", "max_batch_size", "parameters")],
    "dims": lambda model, _: [[row["name"], row["data_type"], row["dims"]] for row in model.config["input"]],
    "input config": lambda model, _: pb_utils.get_input_config_by_name(model.config, "numbers")["dims"],
    "output config": lambda model, _: pb_utils.get_output_config_by_name(model.config, "none"),
    "decoupled": lambda model, _: pb_utils.using_decoupled_model_transaction_policy(model.config),
    "folder": lambda model, _: pb_utils.get_model_dir() == f"{model.args['model_repository']}/1",
    "inputs": lambda _, request: sorted(tensor.name() for tensor in request.inputs()),
    "text": lambda _, request: pb_utils.get_input_tensor_by_name(request, "text").as_numpy(),
    "is bytes": lambda _, request: type(request.inputs()[0].as_numpy().ravel()[0]).__name__,
    "numbers": lambda _, request: pb_utils.get_input_tensor_by_name(request, "numbers").as_numpy(),
    "writable": lambda _, request: [bool(tensor.as_numpy().flags.writeable) for tensor in request.inputs()],
    "no such input": lambda _, request: pb_utils.get_input_tensor_by_name(request, "none"),
    "requested": lambda _, request: request.requested_output_names(),
    "parameters": lambda _, request: json.loads(request.parameters()),
    "identity": lambda _, request: [request.request_id(), request.correlation_id(), request.flags(), request.timeout()],
    "cancelled": lambda _, request: request.is_cancelled(),
    "trace": lambda _, request: [type(request.trace()).__name__, request.trace().get_context()],
    "tensor": lambda *_: pb_utils.Tensor("a", numbers(np.int8).T).as_numpy(),
    "tensor shape": lambda *_: pb_utils.Tensor("a", numbers(np.int8)).shape(),
    "tensor of a scalar": lambda *_: pb_utils.Tensor("a", np.array(1.0)).shape(),
    "tensor in one piece": lambda *_: bool(pb_utils.Tensor("a", numbers(np.int8).T).as_numpy().flags.c_contiguous),
    "tensor of text": lambda *_: pb_utils.Tensor("a", np.array(["좋"], dtype=object)).as_numpy(),
    "tensor of bytes": lambda *_: pb_utils.Tensor("a", np.array([b"x"])).as_numpy(),
    "tensor of unicode": lambda *_: pb_utils.Tensor("a", np.array(["x"])).name(),
    "tensor of complex numbers": lambda *_: pb_utils.Tensor("a", np.array([1j])).name(),
    "tensor of a list": lambda *_: pb_utils.Tensor("a", [1]).name(),
    "tensor on the CPU": lambda *_: pb_utils.Tensor("a", numbers(np.int8)).is_cpu(),
    "type of a tensor": lambda *_: pb_utils.Tensor("a", numbers(np.int8)).triton_dtype(),
    "types by name": lambda *_: {name: np.dtype(kind).name for name, kind in pb_utils.TRITON_STRING_TO_NUMPY.items()},
    "numpy types": lambda *_: [np.dtype(pb_utils.triton_to_numpy_type(number)).name for number in range(1, 14)],
    "no such type": lambda *_: pb_utils.triton_to_numpy_type(14),
    "numbers of types": lambda *_: [pb_utils.numpy_to_triton_type(kind) for kind in (np.bool_, np.float16, np.bytes_)],
    "type by name": lambda *_: np.dtype(pb_utils.triton_string_to_numpy("TYPE_INT32")).name,
    "error": lambda *_: [pb_utils.TritonError("왜").message(), int(pb_utils.TritonError("왜").code())],
    "codes": lambda *_: {
        name: int(getattr(pb_utils.TritonError, name))
        for name in ("UNKNOWN", "INTERNAL", "NOT_FOUND", "INVALID_ARG", "UNAVAILABLE", "UNSUPPORTED", "ALREADY_EXISTS")
    },
    "error with a bare number": lambda *_: pb_utils.TritonError("x", 3).message(),
    "empty response": lambda *_: [
        pb_utils.InferenceResponse().output_tensors(),
        pb_utils.InferenceResponse([]).error(),
    ],
    "response of both": lambda *_: len(
        pb_utils.InferenceResponse([pb_utils.Tensor("a", numbers(np.int8))], pb_utils.TritonError("m")).output_tensors()
    ),
    "no such output": lambda *_: pb_utils.get_output_tensor_by_name(pb_utils.InferenceResponse(), "a"),
    "request": lambda *_: request_with().requested_output_names(),
    "request without a model": lambda *_: pb_utils.InferenceRequest(inputs=[], requested_output_names=["a"]).flags(),
    "request without outputs": lambda *_: pb_utils.InferenceRequest(model_name="m", inputs=[]).flags(),
    "request with parameters": lambda *_: request_with(parameters={"a": 1, "좋": "다", "b": True}).parameters(),
    "request with a fraction": lambda *_: request_with(parameters={"a": 1.5}).parameters(),
    "request with a memory": lambda *_: request_with(
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0)
    ).request_id(),
    "BLS call": lambda *_: pb_utils.get_output_tensor_by_name(call("x", "plain"), "twice").as_numpy(),
    "BLS call with a timeout and a trace": lambda _, request: call(
        "x", "plain", timeout=1_000_000, trace=request.trace()
    ).has_error(),
    "request with a timeout": lambda *_: [request_with(timeout=5).timeout(), request_with().timeout()],
    "request without a trace": lambda *_: type(request_with().trace()).__name__,
    "BLS call gives what was asked": lambda *_: [tensor.name() for tensor in call("x", "plain").output_tensors()],
    "BLS call of an ensemble": lambda *_: pb_utils.get_output_tensor_by_name(call("x", "wired"), "twice").as_numpy(),
    "BLS call that is refused": lambda *_: error_of(call("refuse", "plain")),
    "BLS call of no model": lambda *_: error_of(call("x", "none")),
    "BLS call without an input": lambda *_: error_of(request_with(model_name="plain").exec())[:2],
    "metric": lambda model, _: [model.metric.increment(2.0), model.metric.value() >= 2],
    "constants": lambda *_: [int(pb_utils.TRITONSERVER_MEMORY_CPU), int(pb_utils.TRITONSERVER_MEMORY_GPU)],
    "log": lambda *_: [pb_utils.Logger.log_info("안녕"), pb_utils.Logger.log("x", pb_utils.Logger.WARNING)],
}
