"""What NVIDIA's onnxruntime backend fills into a configuration, and what it refuses, in its own words.

Pure functions on plain values: `tbgen check` turns problems into findings, the stand-in, beside which this folder is
laid in the embedded server, refuses at the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..data_types import FROM_ONNX, INVALID
from .problem import (
    Json,
    Problem,
    configured_dims,
    full_shape,
    leading_number,
    other_dims,
    refuse,
    shape_text,
    takes,
    unknown_tensor,
)

Spec = tuple[str, list[int]]  # Triton data type, shape of the ONNX tensor, -1 for a free axis
Specs = dict[str, Spec]

_DEFAULT_MAX_BATCH_SIZE = 4
NOT_SERVED = ("sequence_batching.state",)  # by the stand-in
_ACCELERATORS = {"cpu": ("openvino",), "gpu": ("tensorrt", "cuda")}
_INSTEAD_OF_ACCELERATOR = {
    "cpu": 'write name: "openvino", or move it to gpu_execution_accelerator',
    "gpu": 'write name: "tensorrt" or "cuda"',
}
_BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
# What an ONNX file may have where a tensor should be -> NVIDIA's name for it.
_NO_TENSORS = {"seq": "ONNX_TYPE_SEQUENCE", "map": "ONNX_TYPE_MAP", "sparse_tensor": "ONNX_TYPE_SPARSETENSOR"}
_NO_TENSOR = "ONNX_TYPE_UNKNOWN"


def specs_from_nodes(nodes: Iterable[Any]) -> Specs:
    """Name, Triton data type and shape of a session's inputs or outputs."""
    return {
        node.name: (data_type(node.type), [size if isinstance(size, int) else -1 for size in node.shape])
        for node in nodes
    }


def data_type(written: str) -> str:
    """Triton's data type of an ONNX type such as tensor(float); NVIDIA's name of what is no tensor."""
    kind = written.partition("(")[0]
    return FROM_ONNX.get(written, INVALID) if kind == "tensor" else _NO_TENSORS.get(kind, _NO_TENSOR)


def _whole_number(text: str) -> int:
    """Raises ValueError."""
    if (number := leading_number(text)) is None:
        raise ValueError(f"failed to convert '{text}' to integral number")
    return number


def _switch(text: str) -> bool:
    """Raises ValueError."""
    if text.lower() not in _BOOLEANS:
        raise ValueError(f"failed to convert '{text}' to boolean")
    return _BOOLEANS[text.lower()]


def execution_mode(text: str) -> int:
    """0: operators one after the other, 1: branches in parallel. Raises ValueError."""
    if (mode := _whole_number(text)) not in (0, 1):
        raise ValueError(
            f"Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 but got {mode} ."
        )
    return mode


THREADS = "intra_op_thread_count"
# The parameters that are judged wherever the model runs -> what reads them, and what holds where they are left out.
PARAMETERS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "execution_mode": (execution_mode, 0),
    THREADS: (_whole_number, 0),
    "inter_op_thread_count": (_whole_number, 0),
    "enable_mem_arena": (_switch, True),
    # NVIDIA's default is on; with ever new shapes that cost a quarter more memory and gained no time (ORT 1.32, BERT).
    "enable_mem_pattern": (_switch, False),
}
SHRINKAGE = "memory.enable_memory_arena_shrinkage"
# Parameters that are settings of the CUDA provider -> what its numbers are called there; none: it goes as it is.
_CUDA_PARAMETERS: dict[str, tuple[str, ...]] = {
    "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "gpu_mem_limit": (),
    "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
    "do_copy_in_default_stream": (),
}
OTHER_PARAMETERS = (SHRINKAGE, *_CUDA_PARAMETERS)


def parameter(config: Json, name: str) -> Any:
    """The value of one of PARAMETERS. Raises ValueError."""
    read, default = PARAMETERS[name]
    written = config.get("parameters", {})
    return read(written[name].get("string_value", "")) if name in written else default


def parameter_problems(config: Json) -> Iterator[Problem]:
    """Values that the backend cannot read."""
    for name in PARAMETERS:
        try:
            parameter(config, name)
        except ValueError as error:
            yield Problem(f'parameters["{name}"]', str(error), f"mend the value of {name}")


def accelerator_problems(config: Json, device: str) -> Iterator[Problem]:
    """Accelerators of "cpu" or "gpu" that the backend does not have; an instance on a CPU looks at the first alone."""
    wanted = config.get("optimization", {}).get("execution_accelerators", {})
    for index, row in enumerate(wanted.get(f"{device}_execution_accelerator", ())):
        if row["name"] not in _ACCELERATORS[device]:
            yield Problem(
                f"optimization.execution_accelerators.{device}_execution_accelerator[{index}]",
                f"unknown Execution Accelerator '{row['name']}' is requested",
                _INSTEAD_OF_ACCELERATOR[device],
            )


def cuda_settings(config: Json) -> dict[str, str]:
    """What the CUDA provider is told: the settings of the accelerator cuda, then the parameters.

    Raises ValueError for a value that it has not.
    """
    accelerators = config.get("optimization", {}).get("execution_accelerators", {}).get("gpu_execution_accelerator", ())
    settings: dict[str, str] = {}
    for row in accelerators:
        settings |= row.get("parameters", {}) if row["name"] == "cuda" else {}
    written = config.get("parameters", {})
    for name in _CUDA_PARAMETERS.keys() & written.keys():
        text, words = written[name].get("string_value", ""), _CUDA_PARAMETERS[name]
        number = _whole_number(text) if words else 0
        if words and not 0 <= number < len(words):
            raise ValueError(f"unsupported {name} value '{number}' is requested")
        settings[name] = words[number] if words else text
    return settings


def cuda_problems(config: Json) -> Iterator[Problem]:
    """Settings that an instance on a GPU cannot read."""
    try:
        cuda_settings(config)
    except ValueError as error:
        yield Problem("parameters", str(error), "write one of the numbers that NVIDIA's backend lists")


def model_file(config: Json, folder: Path) -> Path:
    """Where a version's file is looked for: `default_model_filename`, or the model.onnx in a folder of that name."""
    file = folder / (config.get("default_model_filename") or "model.onnx")
    return file / "model.onnx" if file.is_dir() else file


def lacks_tensors(config: Json) -> bool:
    """Whether a configuration is completed: it has no inputs, of requests or of `batch_input`, or no outputs."""
    return not ((config["input"] or config.get("batch_input")) and config["output"])


def complete_config(config: Json, inputs: Specs, outputs: Specs) -> None:
    """Fill in max_batch_size, the dynamic batcher, inputs and outputs, in place. Raises ValueError."""
    refuse(tensor_kinds(inputs, outputs))
    brings_inputs = config["input"] or config.get("batch_input")
    if all(shape and shape[0] == -1 for _, shape in [*inputs.values(), *outputs.values()]):
        config["max_batch_size"] = config["max_batch_size"] or _DEFAULT_MAX_BATCH_SIZE
        if config["max_batch_size"] > 1 and "sequence_batching" not in config:
            config.setdefault("dynamic_batching", {})
    elif config["max_batch_size"] != 0:
        raise ValueError(
            f"autofill failed for model '{config['name']}': model does not support batching while non-zero"
            " max_batch_size is specified"
        )
    for key, specs, there in (("input", inputs, brings_inputs), ("output", outputs, config["output"])):
        if not there:
            config[key] = [_tensor_from_spec(name, spec, config["max_batch_size"] > 0) for name, spec in specs.items()]


def _tensor_from_spec(name: str, spec: Spec, batching: bool) -> Json:
    """The configuration of one tensor; one without dims of its own is reshaped from [1]."""
    kind, shape = spec
    dims = shape[1:] if batching else shape
    tensor: Json = {"name": name, "data_type": kind, "dims": dims or [1]}
    return tensor if dims or not batching else tensor | {"reshape": {"shape": []}}


def tensor_kinds(inputs: Specs, outputs: Specs) -> Iterator[Problem]:
    """All that the graph takes and gives must be tensors, also what the configuration leaves out."""
    for where, specs in (("input", inputs), ("output", outputs)):
        for name, (kind, _) in specs.items():
            if kind.startswith("ONNX_TYPE_"):
                says = f"Unsupported ONNX Type '{kind}' for I/O '{name}', expected 'ONNX_TYPE_TENSOR'."
                yield Problem(where, says, f"export the graph without {name}, or as a tensor")


def problems(config: Json, inputs: Specs, optional: Specs, outputs: Specs) -> Iterator[Problem]:
    """What is refused of a completed configuration, held against the model."""
    yield from tensor_kinds(inputs, outputs)
    yield from _sequence_controls(config, inputs)
    expected = sum(not tensor.get("optional") for tensor in config["input"]) + len(config.get("batch_input", ()))
    if expected != len(inputs) and not config.get("sequence_batching"):
        says = f"configuration expects {expected} inputs, model provides {len(inputs)}"
        yield Problem("input", _unable(config, says), _mend_of_count(config, inputs))
    for index, tensor in enumerate(config["input"]):
        if tensor.get("optional") and config["max_batch_size"] != 0:
            says = f"optional input '{tensor['name']}' is not supported for models that support batching"
            yield Problem(f"input[{index}]", _unable(config, says), "remove optional, or write max_batch_size: 0")
    scattered = {name for row in config.get("batch_output", ()) for name in row.get("target_name", ())}
    for kind, specs in (("input", inputs | optional), ("output", outputs)):
        yield from unknown_tensor(config, "graph", kind, specs)
        for index, tensor in enumerate(config[kind]):
            if tensor["name"] not in specs:
                continue
            where, (there, shape) = f"{kind}[{index}]", specs[tensor["name"]]
            yield from _other_type(config, where, tensor, there)
            if tensor.get("allow_ragged_batch"):
                yield from _not_flat(config, where, tensor, shape)
            elif kind == "input" or tensor["name"] not in scattered:
                yield from dims_problems(config, where, tensor, shape)


def _sequence_controls(config: Json, inputs: Specs) -> Iterator[Problem]:
    """The controls of sequence batching are inputs of the graph, one value a row."""
    for index, control in enumerate(config.get("sequence_batching", {}).get("control_input", ())):
        where, name = f"sequence_batching.control_input[{index}]", control["name"]
        if name not in inputs:
            says = f"configuration specified sequence control '{name}', but model does not provide that input"
            yield Problem(where, says, f"the graph takes {', '.join(inputs)}")
        elif (dims := inputs[name][1][config["max_batch_size"] > 0 :]) != [1]:
            says = f"sequence control '{name}' in model has dims {shape_text(dims)} but dims [1] is expected"
            yield Problem(where, _unable(config, says), "export it with dims [1]")


def _mend_of_count(config: Json, inputs: Specs) -> str:
    """What to write where a configuration gives more or fewer inputs than the graph takes."""
    added = config.get("batch_input", ())
    if any(len(row.get("target_name", ())) > 1 for row in added):
        return "write a batch_input for each target_name: Triton counts an entry as one input"
    given = {tensor["name"] for tensor in config["input"]} | {name for row in added for name in row["target_name"]}
    lacking = [name for name in inputs if name not in given]
    source = next((tensor["name"] for tensor in config["input"] if tensor.get("allow_ragged_batch")), None)
    graph = f"the graph takes {', '.join(inputs)}"
    if not (source and lacking):
        return graph
    row = f'target_name: "{lacking[0]}" kind: BATCH_ITEM_SHAPE_FLATTEN data_type: TYPE_INT32 source_input: "{source}"'
    return f"{graph}; what Triton is to add beside ragged inputs is a batch_input {{ {row} }}"


def _other_type(config: Json, where: str, tensor: Json, there: str) -> Iterator[Problem]:
    """A tensor has the graph's data type."""
    if tensor["data_type"] != there:
        kind, _, _ = where.partition("[")
        provided = "TYPE_BYTES" if there == "TYPE_STRING" else there
        says = f"configuration expects datatype {tensor['data_type']} for {kind} '{tensor['name']}', model provides "
        yield Problem(f"{where}.data_type", _unable(config, says) + provided, f"write data_type: {there}")


def _not_flat(config: Json, where: str, tensor: Json, shape: list[int]) -> Iterator[Problem]:
    """A ragged input must be one open axis in the graph."""
    if shape != [-1]:
        says = "configuration expects model provides input with shape [-1]  for ragged input"
        mend = "remove allow_ragged_batch, or export a graph that takes the items of all requests in one axis, [-1]"
        yield Problem(where, f"{_unable(config, says)} '{tensor['name']}', model provides {shape_text(shape)}", mend)


def dims_problems(config: Json, where: str, tensor: Json, shape: list[int]) -> Iterator[Problem]:
    """Outputs must be configured exactly as the graph has them, inputs may be narrower than its free axes."""
    batching, full = config["max_batch_size"] > 0, full_shape(config, tensor)
    says, mend = "", f"write dims: {shape_text(shape[batching:] or [1])}"
    if not shape:
        if any(size != 1 for size in configured_dims(tensor)):
            says = _unable(
                config,
                f"scalar tensor '{tensor['name']}', should only provide 1 in the model configuration when the model"
                " doesn't support batching. Model configuration provided:"
                f" {shape_text(configured_dims(tensor))}.",
            )
    elif batching and shape[0] != -1:
        says = (
            f"model '{config['name']}', tensor '{tensor['name']}': for the model to support batching the shape should"
            " have at least 1 dimension and the first dimension must be -1; but shape expected by the model is"
            f" {shape_text(shape)}"
        )
    elif full != shape and (where.startswith("output") or not takes(shape, full)):
        says = other_dims(config, tensor["name"], shape, full)
    if batching and shape[:1] != [-1]:
        mend = "export with an open batch axis, or write max_batch_size: 0"
    elif batching and len(shape) == 1:
        one = "dims: [1] reshape { shape: [ ] }"
        flat = f"write allow_ragged_batch: true if it is flat, or {one} for one value an item"
        mend = flat if where.startswith("input") else f"write {one}"
    if says:
        yield Problem(f"{where}.dims", says, mend)


def _unable(config: Json, why: str) -> str:
    """How most of the backend's refusals begin."""
    return f"unable to load model '{config['name']}', {why}"


def batch_tensor_problems(config: Json) -> Iterator[Problem]:
    """What the backend reads before Triton's core judges the rest."""
    for index, row in enumerate(config.get("batch_input", ())):
        if row.get("data_type", INVALID) == INVALID:
            says = f"unexpected batch input data type '{INVALID}'"
            yield Problem(f"batch_input[{index}]", says, "write data_type: TYPE_INT32")
    for index, row in enumerate(config.get("batch_output", ())):
        if not row.get("target_name"):
            says = "the server itself ends, with all its models, where a batch_output has no target"
            outputs = ", ".join(sorted(tensor["name"] for tensor in config["output"]))
            yield Problem(f"batch_output[{index}]", says, f"name outputs of the config: {outputs}")


def run_problems(config: Json, inputs: Iterable[str], known: Iterable[str]) -> Iterator[Problem]:
    """Why each request fails, in ONNX Runtime's words: the backend holds what it adds against no graph.

    inputs: that the graph must be given. known: those that it may be given, too.
    """
    added = list(enumerate(config.get("batch_input", ())))
    brought = [tensor["name"] for tensor in config["input"]]
    targets = [(index, name) for index, row in added for name in row["target_name"]]
    lacking = [name for name in inputs if name not in (*brought, *(name for _, name in targets))]
    mend = f'write target_name: "{lacking[0]}"' if lacking else f"the graph takes {', '.join(inputs)}"
    unknown = [(index, name) for index, name in targets if name not in (*brought, *known)]
    for index, name in unknown:
        says = f"onnx runtime error 1: Failed to find input name in the mapping: {name}"
        yield Problem(f"batch_input[{index}].target_name", says, mend, "fails")
    if lacking and added and not unknown and len(brought) + len(added) == len(list(inputs)):
        yield Problem("batch_input[0]", f"onnx runtime error 1: Missing Input: {lacking[0]}", mend, "fails")


def out_of_bounds(code: int, index: object, rows: int) -> str:
    """ONNX Runtime's words for a number that no row of a table has."""
    return (
        f"onnx runtime error {code}: indices element out of data bounds, idx={index} must be within the inclusive range"
        f" [-{rows},{rows - 1}]"
    )
