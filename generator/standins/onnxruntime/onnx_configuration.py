"""What NVIDIA's onnxruntime backend fills into a configuration, and what it refuses, in its own words.

Pure functions on plain values, no Triton needed. A refusal is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]
Specs = dict[str, tuple[str, list[int]]]  # name -> (Triton data type, shape of the ONNX tensor, -1 for a free axis)

DATA_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
DEFAULT_MAX_BATCH_SIZE = 4
NOT_SERVED = "sequence_batching"
ACCELERATORS = {"cpu": ("openvino",), "gpu": ("tensorrt", "cuda")}


def specs_from_nodes(nodes: Iterable[Any]) -> Specs:
    """Name, Triton data type and shape of a session's inputs or outputs. Raises ValueError."""
    specs = {}
    for node in nodes:
        if not node.type.startswith("tensor("):
            raise ValueError(f"Unsupported ONNX Type '{node.type}' for I/O '{node.name}', expected 'ONNX_TYPE_TENSOR'.")
        shape = [size if isinstance(size, int) else -1 for size in node.shape]
        specs[node.name] = (DATA_TYPES.get(node.type, "TYPE_INVALID"), shape)
    return specs


def lacks_tensors(config: Json) -> bool:
    """Whether a configuration is completed: it has no inputs, of requests or of `batch_input`, or no outputs."""
    return not ((config["input"] or config.get("batch_input")) and config["output"])


def complete_config(config: Json, inputs: Specs, outputs: Specs) -> None:
    """Fill in max_batch_size, the dynamic batcher, inputs and outputs, in place. Raises ValueError."""
    complete_batching(config, inputs, outputs)
    complete_tensors(config, inputs, outputs)


def complete_batching(config: Json, inputs: Specs, outputs: Specs) -> None:
    """Fill in max_batch_size and the dynamic batcher, where all tensors begin with a free axis. Raises ValueError."""
    if all(shape and shape[0] == -1 for _, shape in [*inputs.values(), *outputs.values()]):
        if config["max_batch_size"] == 0:
            config["max_batch_size"] = DEFAULT_MAX_BATCH_SIZE
        if config["max_batch_size"] > 1 and "sequence_batching" not in config:
            config.setdefault("dynamic_batching", {})
    elif config["max_batch_size"] != 0:
        raise ValueError(
            f"autofill failed for model '{config['name']}': model does not support batching while non-zero"
            " max_batch_size is specified"
        )


def complete_tensors(config: Json, inputs: Specs, outputs: Specs) -> None:
    """Fill in the inputs and the outputs, where there are none; what `batch_input` adds counts as inputs."""
    for key, specs, there in (
        ("input", inputs, config["input"] or config.get("batch_input")),
        ("output", outputs, config["output"]),
    ):
        if not there:
            batching = config["max_batch_size"] > 0
            config[key] = [tensor_from_spec(name, spec, batching) for name, spec in specs.items()]


def tensor_from_spec(name: str, spec: tuple[str, list[int]], batching: bool) -> Json:
    """The configuration of one tensor; one without dims of its own is reshaped from [1]."""
    data_type, shape = spec
    dims = shape[1:] if batching else shape
    tensor: Json = {"name": name, "data_type": data_type, "dims": dims or [1]}
    return tensor if dims or not batching else tensor | {"reshape": {"shape": []}}


def check_config(config: Json, inputs: Specs, optional: Specs, outputs: Specs) -> None:
    """Compare a configuration with the model as NVIDIA's backend does. Raises ValueError."""
    unable = f"unable to load model '{config['name']}',"
    if config.get(NOT_SERVED):
        raise ValueError(f"{unable} the embedded server does not serve {NOT_SERVED}")
    expected = sum(not tensor.get("optional") for tensor in config["input"]) + len(config.get("batch_input", ()))
    if expected != len(inputs):
        raise ValueError(f"{unable} configuration expects {expected} inputs, model provides {len(inputs)}")
    for tensor in config["input"]:
        if tensor.get("optional") and config["max_batch_size"] != 0:
            raise ValueError(
                f"{unable} optional input '{tensor['name']}' is not supported for models that support batching"
            )
        shape = check_name_and_type(config, "input", tensor, inputs | optional)
        if tensor.get("allow_ragged_batch"):
            check_ragged(config, tensor, shape)
        else:
            check_shape(config, tensor, shape, exact=False)
    scattered = {name for row in config.get("batch_output", ()) for name in row["target_name"]}
    for tensor in config["output"]:
        shape = check_name_and_type(config, "output", tensor, outputs)
        if tensor["name"] not in scattered:
            check_shape(config, tensor, shape, exact=True)


def check_accelerators(config: Json, kind: str) -> None:
    """The execution accelerators are NVIDIA's; those of GPUs are looked at by instances on one. Raises ValueError."""
    wanted = config.get("optimization", {}).get("execution_accelerators", {})
    for device in ("gpu", "cpu") if kind == "GPU" else ("cpu",):
        for row in wanted.get(f"{device}_execution_accelerator", ()):
            if row["name"] not in ACCELERATORS[device]:
                raise ValueError(f"unknown Execution Accelerator '{row['name']}' is requested")


def check_batch_tensors(config: Json) -> None:
    """What NVIDIA's backend reads before Triton's core judges the rest. Raises ValueError."""
    for row in config.get("batch_input", ()):
        if row["data_type"] == "TYPE_INVALID":
            raise ValueError("unexpected batch input data type 'TYPE_INVALID'")
    for row in config.get("batch_output", ()):
        if len(row["target_name"]) != 1:  # with none NVIDIA's ends the server, of more it gives the first's name twice
            raise ValueError(f"the embedded server serves one target of a batch_output, got {len(row['target_name'])}")


def check_name_and_type(config: Json, kind: str, tensor: Json, specs: Specs) -> list[int]:
    """Compare name and type of one configured tensor with the model's; the model's shape of it. Raises ValueError."""
    name = tensor["name"]
    if name not in specs:
        raise ValueError(f"unexpected inference {kind} '{name}', allowed {kind}s are: {', '.join(sorted(specs))}")
    data_type, shape = specs[name]
    if tensor["data_type"] != data_type:
        provided = "TYPE_BYTES" if data_type == "TYPE_STRING" else data_type
        raise ValueError(
            f"unable to load model '{config['name']}', configuration expects datatype {tensor['data_type']} for {kind}"
            f" '{name}', model provides {provided}"
        )
    return shape


def check_ragged(config: Json, tensor: Json, shape: list[int]) -> None:
    """A ragged input needs an ONNX tensor of shape [-1]. Raises ValueError."""
    unable, name = f"unable to load model '{config['name']}',", tensor["name"]
    if shape != [-1]:
        raise ValueError(
            f"{unable} configuration expects model provides input with shape [-1]  for ragged input '{name}',"
            f" model provides {shape_text(shape)}"
        )


def check_shape(config: Json, tensor: Json, shape: list[int], *, exact: bool) -> None:
    """Outputs must be configured exactly as the model has them, inputs may be narrower than its free axes."""
    dims, batching = configured_shape(tensor), config["max_batch_size"] > 0
    if not shape:
        check_scalar(config, tensor["name"], dims)
        return
    where = f"model '{config['name']}', tensor '{tensor['name']}':"
    if batching and shape[0] != -1:
        raise ValueError(
            f"{where} for the model to support batching the shape should have at least 1 dimension and the first"
            f" dimension must be -1; but shape expected by the model is {shape_text(shape)}"
        )
    full = [-1, *dims] if batching else dims
    if len(full) == len(shape) and all(a == b or (a == -1 and not exact) for a, b in zip(shape, full, strict=True)):
        return
    specified = f"{len(full)} dimensions (shape {shape_text(full)})"
    if batching:
        specified = (
            f"{len(full)} dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit"
            f" tensor shape, making complete shape {shape_text(full)})"
        )
    raise ValueError(
        f"{where} the model expects {len(shape)} dimensions (shape {shape_text(shape)}) but the model configuration"
        f" specifies {specified}"
    )


def check_scalar(config: Json, name: str, dims: list[int]) -> None:
    """A tensor without axes is configured as ones. Raises ValueError."""
    if any(size != 1 for size in dims):
        raise ValueError(
            f"unable to load model '{config['name']}', scalar tensor '{name}', should only provide 1 in the model"
            " configuration when the model doesn't support batching. Model configuration provided:"
            f" {shape_text(dims)}."
        )


def configured_shape(tensor: Json) -> list[int]:
    """The dims that the backend sees: those of `reshape` where there is one. The server's JSON has them as strings."""
    return [int(size) for size in (tensor["reshape"].get("shape", ()) if "reshape" in tensor else tensor["dims"])]


def shape_text(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
