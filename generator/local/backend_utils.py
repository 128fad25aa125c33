"""Stands in for `triton_python_backend_utils` in a process without Triton: what a Python model reads and answers with.

Same names, arguments and answers as the module that Triton's Python backend (2.51) gives its models; the tests run one
model on both. Not here: decoupled models, answers that come later, histograms, DLPack, shared memory of GPUs, loading
and unloading of models; nothing is ever traced or cancelled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from tbgen.generator.data_types import NUMPY
from tbgen.generator.local import backend_requests, backend_services, backend_tensors
from tbgen.generator.local.backend_requests import InferenceRequest, InferenceResponse, MemoryType

NAME = "triton_python_backend_utils"
CONSTANTS = {
    "TRITON_STRING_TO_NUMPY": NUMPY,
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_START": 1,
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_END": 2,
    "TRITONSERVER_RESPONSE_COMPLETE_FINAL": 1,
    "TRITONSERVER_REQUEST_RELEASE_ALL": 1,
    "TRITONSERVER_REQUEST_RELEASE_RESCHEDULE": 2,
}


def get_input_config_by_name(model_config: Mapping[str, Any], name: str) -> Any:
    return next((row for row in model_config.get("input", ()) if row["name"] == name), None)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> Any:
    return next((row for row in model_config.get("output", ()) if row["name"] == name), None)


def using_decoupled_model_transaction_policy(model_config: Mapping[str, Any]) -> bool:
    return model_config.get("model_transaction_policy", {"decoupled": False})["decoupled"]


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


def module_for(call: Callable[[InferenceRequest], InferenceResponse]) -> ModuleType:
    """The module that models import; their BLS calls go to `call`."""
    module = ModuleType(NAME, __doc__)
    for part in (backend_tensors, backend_requests, backend_services, sys.modules[__name__]):
        own = (value for value in vars(part).values() if getattr(value, "__module__", None) == part.__name__)
        vars(module).update({value.__name__: value for value in own if hasattr(value, "__name__")})
    bound = type("InferenceRequest", (InferenceRequest,), {"call": staticmethod(call)})
    memory = {kind.name: kind for kind in MemoryType}
    vars(module).update(InferenceRequest=bound, **CONSTANTS, **memory)
    return module
