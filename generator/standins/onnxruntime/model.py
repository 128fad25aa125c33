"""Stands in for NVIDIA's C++ onnxruntime backend: the same config.pbtxt, parameters, refusals and answers, in Python.

The embedded server lays this file into its backend directory as `onnxruntime/model.py`; every model whose configuration
says `backend: "onnxruntime"` or `platform: "onnxruntime_onnx"` is then served by it, one process an instance.

Apart from NVIDIA's: when a joined run fails, its requests are run again one by one, so that the neighbours of a bad
request are answered (NVIDIA's fails them all); where NVIDIA's reads behind a tensor, the request is refused; sequence
batching and BF16 are refused.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - Triton's stub imports it at the first request, which would wait for it
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from onnx_configuration import (  # type: ignore[import-not-found]  # lies beside this file
    check_accelerators,
    check_batch_tensors,
    check_config,
    complete_config,
    configured_shape,
    lacks_tensors,
    specs_from_nodes,
)
from onnx_ragged import (  # type: ignore[import-not-found]
    joined_arrays,
    ragged_names,
    scattered,
    scattered_sources,
    unmapped,
)

Json = dict[str, Any]
Arrays = dict[str, np.ndarray]

GRAPH_LEVELS = {-1: "ORT_ENABLE_BASIC", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}
# How long a thread of the session burns its core while it waits for its share of an operator; between runs it does not.
# ONNX Runtime's default takes the cores from the server's other processes: on 2 cores with other work beside it,
# a text of kcbert-base's shape took 1.4 times as long. Alone on the machine the times are equal; without spinning, 1.2.
SPINNING = {"session.intra_op.spin_duration_us": "100", "session.force_spinning_stop": "1"}
BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


class TritonPythonModel:
    """One instance of an ONNX model: an ONNX Runtime session, its checked configuration, joined runs."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in a configuration that lacks its inputs or outputs; change nothing in one that has both."""
        config = auto_complete_model_config.as_dict()
        check_batch_tensors(config)
        if lacks_tensors(config):
            session = session_from_config(config, Path(pb_utils.get_model_dir()), "CPU", 0)
            complete_config(config, specs_from_nodes(session.get_inputs()), specs_from_nodes(session.get_outputs()))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model and check the configuration against it. Raises ValueError, in NVIDIA's words."""
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self.session = session_from_config(
            config, folder, args["model_instance_kind"], int(args["model_instance_device_id"])
        )
        self.inputs = specs_from_nodes(self.session.get_inputs())
        self.optional = specs_from_nodes(self.session.get_overridable_initializers())
        self.outputs = specs_from_nodes(self.session.get_outputs())
        check_config(config, self.inputs, self.optional, self.outputs)
        self.batching = config["max_batch_size"] > 0
        self.ragged, self.added = ragged_names(config), config.get("batch_input", [])
        self.scattered = scattered_sources(config)
        self.unmapped = unmapped(self.added, self.inputs, [tensor["name"] for tensor in config["input"]])
        self.given_dims = {tensor["name"]: configured_shape(tensor) for tensor in config["output"]}
        self.run_options = run_options_from_parameters(config.get("parameters", {}))
        self.errors = onnxruntime_errors()

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request, in order; requests of equal item shapes, ragged inputs aside, share a run."""
        answers: list[Any] = [None] * len(requests)
        groups: dict[Any, list[tuple[int, Arrays]]] = defaultdict(list)
        for index, request in enumerate(requests):
            try:
                arrays = self.read(request)
            except UnicodeDecodeError as error:
                answers[index] = refusal(f"string tensor is not valid UTF-8: {error}", pb_utils.TritonError.INVALID_ARG)
            else:
                groups[self.group_of(index, arrays)].append((index, arrays))
        for group in groups.values():
            indices = [index for index, _ in group]
            wanted = [set(requests[index].requested_output_names()) for index in indices]
            responses = self.answer_group([arrays for _, arrays in group], wanted)
            for index, response in zip(indices, responses, strict=True):
                answers[index] = response
        return answers

    def group_of(self, index: int, arrays: Arrays) -> Any:
        """The key that requests which may share a run have in common; without batching none may."""
        if not self.batching:
            return index
        return tuple((name, name in self.ragged or array.shape[1:]) for name, array in arrays.items())

    def read(self, request: Any) -> Arrays:
        """The tensors of one request, views of shared memory; text as str. Raises UnicodeDecodeError."""
        arrays = {}
        for tensor in request.inputs():
            name, array = tensor.name(), tensor.as_numpy()
            data_type, shape = self.inputs.get(name) or self.optional[name]
            array = text_from_bytes(array) if data_type == "TYPE_STRING" else array
            arrays[name] = array if shape else array.reshape(())
        return arrays

    def answer_group(self, parts: Sequence[Arrays], wanted: Sequence[set[str]]) -> list[Any]:
        """Run the requests of a group joined; when that fails, one by one, so that only the bad ones fail."""
        if self.unmapped:
            return [refusal(self.unmapped, pb_utils.TritonError.INTERNAL)] * len(parts)
        try:
            return self.answer_joined(parts, wanted)
        except self.errors as error:
            if len(parts) == 1:
                return [refusal(sentence_from_error(error), pb_utils.TritonError.INTERNAL)]
        return [self.answer_group([part], [names])[0] for part, names in zip(parts, wanted, strict=True)]

    def answer_joined(self, parts: Sequence[Arrays], wanted: Sequence[set[str]]) -> list[Any]:
        """Join along the batch axis, run once for the outputs that anybody wants, split again."""
        plain = len(parts) == 1 and not (self.ragged or self.added)
        joined = parts[0] if plain else joined_arrays(parts, self.ragged, self.added)
        names = [name for name in self.given_dims if any(name in each for each in wanted)]
        values = dict(zip(names, self.session.run(names, joined, self.run_options), strict=True))
        if not self.batching:
            return [self.response({k: as_configured(v, self.given_dims[k]) for k, v in values.items()})]
        ends = np.cumsum([len(next(iter(part.values()))) for part in parts])
        pieces = {name: self.pieces(name, value, parts, ends) for name, value in values.items()}
        return [
            self.response_or_refusal({k: v[index] for k, v in pieces.items() if k in each}, ends[index], values)
            for index, each in enumerate(wanted)
        ]

    def pieces(
        self, name: str, value: np.ndarray, parts: Sequence[Arrays], ends: np.ndarray
    ) -> list[np.ndarray | None]:
        """An output, request by request; None for those behind its last row."""
        if name in self.scattered:
            sources = [part[self.scattered[name]] for part in parts]
            return scattered(name, value, sources, self.given_dims[name])
        return [
            value[begin:end] if end <= len(value) else None for begin, end in zip([0, *ends[:-1]], ends, strict=True)
        ]

    def response_or_refusal(self, pieces: Mapping[str, np.ndarray | None], end: int, values: Arrays) -> Any:
        if short := [name for name, piece in pieces.items() if piece is None]:
            return refusal(split_sentence(short[0], end, values), pb_utils.TritonError.UNSUPPORTED)
        return self.response(pieces)

    def response(self, values: Mapping[str, Any]) -> Any:
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in values.items()])


def session_from_config(config: Json, folder: Path, kind: str, device: int) -> Any:
    """The ONNX Runtime session of a version folder. Raises ValueError."""
    import onnxruntime

    check_accelerators(config, kind)
    file = model_file(config, folder)
    parameters = config.get("parameters", {})
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    level = GRAPH_LEVELS.get(config.get("optimization", {}).get("graph", {}).get("level", 0), "ORT_ENABLE_ALL")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.execution_mode = execution_mode(onnxruntime, integer(parameters, "execution_mode"))
    options.intra_op_num_threads = max(integer(parameters, "intra_op_thread_count"), 0)
    options.inter_op_num_threads = max(integer(parameters, "inter_op_thread_count"), 0)
    for key, value in SPINNING.items():
        options.add_session_config_entry(key, value)
    options.enable_cpu_mem_arena = boolean(parameters, "enable_mem_arena", True)
    # NVIDIA's default is on; with ever new shapes that cost a quarter more memory and gained no time (ORT 1.32, BERT).
    options.enable_mem_pattern = boolean(parameters, "enable_mem_pattern", False)
    gpu = [("CUDAExecutionProvider", {"device_id": device})] if kind == "GPU" else []
    try:
        return onnxruntime.InferenceSession(file, options, providers=[*gpu, "CPUExecutionProvider"])
    except onnxruntime_errors() as error:
        raise ValueError(sentence_from_error(error)) from None


def model_file(config: Json, folder: Path) -> Path:
    """The ONNX file: `default_model_filename` or model.onnx, or the model.onnx in a folder of that name."""
    file = folder / (Path(config.get("default_model_filename") or "model.onnx").name)
    file = file / "model.onnx" if file.is_dir() else file
    if not file.exists():
        raise ValueError(f"unable to find '{file}' for model instance '{config['name']}'")
    return file


def integer(parameters: Mapping[str, Json], name: str) -> int:
    """A whole number among the parameters, 0 when it is not there; like std::stoi, "2x" reads as 2."""
    text = parameters.get(name, {}).get("string_value", "0")
    if not (found := re.match(r"\s*[+-]?\d+", text)):
        raise ValueError(f"failed to convert '{text}' to integral number")
    return int(found[0])


def boolean(parameters: Mapping[str, Json], name: str, default: bool) -> bool:
    """A switch among the parameters."""
    if name not in parameters:
        return default
    text = parameters[name].get("string_value", "")
    if text.lower() not in BOOLEANS:
        raise ValueError(f"failed to convert '{text}' to boolean")
    return BOOLEANS[text.lower()]


def execution_mode(onnxruntime: Any, mode: int) -> Any:
    """0: operators one after the other, 1: branches in parallel."""
    if mode not in (0, 1):
        raise ValueError(
            f"Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 but got {mode} ."
        )
    return onnxruntime.ExecutionMode.ORT_PARALLEL if mode else onnxruntime.ExecutionMode.ORT_SEQUENTIAL


def run_options_from_parameters(parameters: Mapping[str, Json]) -> Any:
    """What each run is told: whether the memory arena shrinks afterwards."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    if shrinkage := parameters.get("memory.enable_memory_arena_shrinkage"):
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", shrinkage["string_value"])
    return options


def onnxruntime_errors() -> tuple[type[BaseException], ...]:
    """What ONNX Runtime raises: its own exceptions have no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, ValueError, RuntimeError)


def sentence_from_error(error: BaseException) -> str:
    """NVIDIA's wording of an ONNX Runtime error: `onnx runtime error 7: Load model from ...`."""
    found = re.fullmatch(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", str(error), re.DOTALL)
    return f"onnx runtime error {found[1]}: {found[2]}" if found else str(error)


def as_configured(value: np.ndarray, dims: list[int]) -> np.ndarray:
    """A scalar output takes the dims of the configuration; any other stays as it is."""
    return value if value.shape else np.asarray(value).reshape(dims)


def split_sentence(name: str, rows: int, values: Arrays) -> str:
    return (
        f"failed to split the output tensor '{name}' in responses: expected batch size of at least {rows} in model"
        f" output, got {len(values[name])}"
    )


def text_from_bytes(array: np.ndarray) -> np.ndarray:
    """Decode an array of UTF-8 bytes into an array of str. Raises UnicodeDecodeError."""
    return np.array([value.decode("utf-8") for value in array.ravel()], dtype=object).reshape(array.shape)


def refusal(sentence: str, code: Any) -> Any:
    """An answer that says why there is none."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence, code))
