"""Stands in for NVIDIA's C++ onnxruntime backend: the same config.pbtxt, parameters, refusals and answers, in Python.

The embedded server lays this file into its backend directory as `onnxruntime/model.py`, with the rulebooks beside it;
every model whose configuration says `backend: "onnxruntime"` or `platform: "onnxruntime_onnx"` is served by it, one
process an instance.

Apart from NVIDIA's: when a joined run fails, its requests are run again one by one, so that the neighbours of a bad
request are answered (NVIDIA's fails them all); where NVIDIA's reads behind a tensor, the request is refused; a state
that Triton keeps for a sequence, and BF16, are refused.
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

if not __package__:  # a server's backend is imported by its bare name; then it is the package of what lies beside it
    __path__ = __spec__.submodule_search_locations = [str(Path(__file__).parent)]
    __package__ = __name__

from .rules import onnxruntime as rules  # type: ignore[import-not-found]  # of tbgen.generator, laid beside this file
from .rules.problem import configured_dims, missing_file, not_served, refuse  # type: ignore[import-not-found]
from .rules.ragged import join_arrays, ragged_names, scatter, scatter_sources  # type: ignore[import-not-found]

Json = dict[str, Any]
Arrays = dict[str, np.ndarray]

_CUDA = "CUDAExecutionProvider"
_GRAPH_LEVELS = {-1: "ORT_ENABLE_BASIC", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}
# How long a thread of the session burns its core while it waits for its share of an operator; between runs it does not.
# ONNX Runtime's default takes the cores from the server's other processes: on 2 cores with other work beside it,
# a text of kcbert-base's shape took 1.4 times as long. Alone on the machine the times are equal; without spinning, 1.2.
_SPINNING = {"session.intra_op.spin_duration_us": "100", "session.force_spinning_stop": "1"}


class TritonPythonModel:
    """One instance of an ONNX model: an ONNX Runtime session, its checked configuration, joined runs."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in a configuration that lacks its inputs or outputs; change nothing in one that has both."""
        config = auto_complete_model_config.as_dict()
        refuse(rules.batch_tensor_problems(config))
        if rules.lacks_tensors(config):
            session = _session_from_config(config, Path(pb_utils.get_model_dir()), "CPU", 0)
            specs = map(rules.specs_from_nodes, (session.get_inputs(), session.get_outputs()))
            rules.complete_config(config, *specs)
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model and check the configuration against it. Raises ValueError, in NVIDIA's words."""
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self.session = _session_from_config(
            config, folder, args["model_instance_kind"], int(args["model_instance_device_id"])
        )
        inputs, optional, outputs = map(
            rules.specs_from_nodes,
            (self.session.get_inputs(), self.session.get_overridable_initializers(), self.session.get_outputs()),
        )
        refuse(not_served(config, rules.NOT_SERVED))
        refuse(rules.problems(config, inputs, optional, outputs))
        self.known = inputs | optional
        self.batching = config["max_batch_size"] > 0
        self.ragged, self.added = ragged_names(config), config.get("batch_input", [])
        self.scattered = scatter_sources(config)
        self.unmapped = next((problem.says for problem in rules.run_problems(config, inputs, self.known)), "")
        self.given_dims = {tensor["name"]: configured_dims(tensor) for tensor in config["output"]}
        self.run_options = _run_options_from_config(config)
        self.errors = _onnxruntime_errors()

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request, in order; requests of equal item shapes, ragged inputs aside, share a run."""
        answers: list[Any] = [None] * len(requests)
        groups: dict[Any, list[tuple[int, Arrays]]] = defaultdict(list)
        for index, request in enumerate(requests):
            try:
                arrays = self.read(request)
            except UnicodeDecodeError as error:
                answers[index] = _refusal(
                    f"string tensor is not valid UTF-8: {error}", pb_utils.TritonError.INVALID_ARG
                )
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
            data_type, shape = self.known[name]
            array = _text_from_bytes(array) if data_type == "TYPE_STRING" else array
            arrays[name] = array if shape else array.reshape(())
        return arrays

    def answer_group(self, parts: Sequence[Arrays], wanted: Sequence[set[str]]) -> list[Any]:
        """Run the requests of a group joined; when that fails, one by one, so that only the bad ones fail."""
        if self.unmapped:
            return [_refusal(self.unmapped, pb_utils.TritonError.INTERNAL)] * len(parts)
        try:
            return self.answer_joined(parts, wanted)
        except self.errors as error:
            if len(parts) == 1:
                return [_refusal(_sentence_from_error(error), pb_utils.TritonError.INTERNAL)]
        return [self.answer_group([part], [names])[0] for part, names in zip(parts, wanted, strict=True)]

    def answer_joined(self, parts: Sequence[Arrays], wanted: Sequence[set[str]]) -> list[Any]:
        """Join along the batch axis, run once for the outputs that anybody wants, split again."""
        plain = len(parts) == 1 and not (self.ragged or self.added)
        joined = parts[0] if plain else join_arrays(parts, self.ragged, self.added)
        names = [name for name in self.given_dims if any(name in each for each in wanted)]
        values = dict(zip(names, self.session.run(names, joined, self.run_options), strict=True))
        if not self.batching:
            return [self.response({k: _as_configured(v, self.given_dims[k]) for k, v in values.items()})]
        ends = np.cumsum([len(next(iter(part.values()))) for part in parts])
        pieces = {name: self.pieces(name, value, parts, ends) for name, value in values.items()}
        return [
            self.response_or_refusal({k: v[index] for k, v in pieces.items() if k in each}, ends[index], values)
            for index, each in enumerate(wanted)
        ]

    def pieces(
        self, name: str, value: np.ndarray, parts: Sequence[Arrays], ends: np.ndarray
    ) -> Sequence[np.ndarray | None]:
        """An output, request by request; None for those behind its last row."""
        if name in self.scattered:
            sources = [part[self.scattered[name]] for part in parts]
            return scatter(name, value, sources, self.given_dims[name])
        return [
            value[begin:end] if end <= len(value) else None for begin, end in zip([0, *ends[:-1]], ends, strict=True)
        ]

    def response_or_refusal(self, pieces: Mapping[str, np.ndarray | None], end: int, values: Arrays) -> Any:
        if short := [name for name, piece in pieces.items() if piece is None]:
            return _refusal(_split_sentence(short[0], end, values), pb_utils.TritonError.UNSUPPORTED)
        return self.response(pieces)

    def response(self, values: Mapping[str, Any]) -> Any:
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in values.items()])


def _session_from_config(config: Json, folder: Path, kind: str, device: int) -> Any:
    """The ONNX Runtime session of a version folder. Raises ValueError."""
    import onnxruntime

    for looked_at in ("gpu", "cpu") if kind == "GPU" else ("cpu",):
        refuse(rules.accelerator_problems(config, looked_at))
    file = rules.model_file(config, folder)
    if not file.exists():
        raise ValueError(missing_file(config, file))
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    level = _GRAPH_LEVELS.get(config.get("optimization", {}).get("graph", {}).get("level", 0), "ORT_ENABLE_ALL")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.execution_mode = onnxruntime.ExecutionMode(rules.parameter(config, "execution_mode"))
    options.intra_op_num_threads = max(rules.parameter(config, rules.THREADS), 0)
    options.inter_op_num_threads = max(rules.parameter(config, "inter_op_thread_count"), 0)
    for key, value in _SPINNING.items():
        options.add_session_config_entry(key, value)
    options.enable_cpu_mem_arena = rules.parameter(config, "enable_mem_arena")
    options.enable_mem_pattern = rules.parameter(config, "enable_mem_pattern")
    gpu = [(_CUDA, rules.cuda_settings(config) | {"device_id": device})] if _takes_gpu(config, folder, kind) else []
    try:
        session = onnxruntime.InferenceSession(file, options, providers=[*gpu, "CPUExecutionProvider"])
    except _onnxruntime_errors() as error:
        raise ValueError(_sentence_from_error(error)) from None
    if gpu and session.get_providers()[0] != _CUDA:
        raise ValueError(
            f"unable to load model '{config['name']}': onnxruntime {onnxruntime.__version__} took the CPU in place of "
            f"GPU {device}; the log says which CUDA library it misses, and pip install 'tbgen[gpu]' brings them"
        )
    return session


def _takes_gpu(config: Json, folder: Path, kind: str) -> bool:
    """Whether a session is on a GPU: there, of a model that asks for one, and of one that asks for none if it can.

    Triton says kind GPU to both; the file of the first says so, too. Raises ValueError for one that asks in vain.
    """
    import onnxruntime

    if kind != "GPU":
        return False
    if _CUDA in onnxruntime.get_available_providers():
        refuse(rules.cuda_problems(config))
        if hasattr(onnxruntime, "preload_dlls"):  # since 1.21
            onnxruntime.preload_dlls()  # NVIDIA's packages lie where no loader looks
        return True
    file = folder.parent / "config.pbtxt"
    if file.is_file() and "KIND_GPU" in file.read_text(encoding="utf-8"):
        raise ValueError(
            f"unable to load model '{config['name']}': it is for GPUs, and onnxruntime {onnxruntime.__version__} has "
            "no CUDA; pip uninstall onnxruntime onnxruntime-gpu, then pip install 'tbgen[gpu]', or scaffold it with "
            "--device cpu"
        )
    return False


def _run_options_from_config(config: Json) -> Any:
    """What each run is told: whether the memory arena shrinks afterwards."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    if shrinkage := config.get("parameters", {}).get(rules.SHRINKAGE):
        options.add_run_config_entry(rules.SHRINKAGE, shrinkage["string_value"])
    return options


def _onnxruntime_errors() -> tuple[type[BaseException], ...]:
    """What ONNX Runtime raises: its own exceptions have no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, ValueError, RuntimeError)


def _sentence_from_error(error: BaseException) -> str:
    """NVIDIA's wording of an ONNX Runtime error: `onnx runtime error 7: Load model from ...`."""
    found = re.fullmatch(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", str(error), re.DOTALL)
    return f"onnx runtime error {found[1]}: {found[2]}" if found else str(error)


def _as_configured(value: np.ndarray, dims: list[int]) -> np.ndarray:
    """A scalar output takes the dims of the configuration; any other stays as it is."""
    return value if value.shape else np.asarray(value).reshape(dims)


def _split_sentence(name: str, rows: int, values: Arrays) -> str:
    return (
        f"failed to split the output tensor '{name}' in responses: expected batch size of at least {rows} in model"
        f" output, got {len(values[name])}"
    )


def _text_from_bytes(array: np.ndarray) -> np.ndarray:
    """Decode an array of UTF-8 bytes into an array of str. Raises UnicodeDecodeError."""
    return np.array([value.decode("utf-8") for value in array.ravel()], dtype=object).reshape(array.shape)


def _refusal(sentence: str, code: Any) -> Any:
    """An answer that says why there is none."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence, code))
