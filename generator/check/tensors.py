"""Rules on the inputs and outputs of a config: name, data type, dims, reshape, and what clients trip over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tritonclient.grpc.model_config_pb2 import (
    BatchInput,
    BatchOutput,
    DataType,
    ModelConfig,
    ModelInput,
    ModelOutput,
)

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository

NOT_A_SIZE = "dimension must be integer >= 1, or -1 to indicate a variable-size dimension"
WRITE_DIMS = "write sizes of 1 or more, or -1 for an open dimension"
PLAN = "tensorrt_plan"
ONE_SOURCE = "write one source_input, an input of the config"
TWICE = "target output name '{}' can only be specified once"
BATCH_TYPES = ("TYPE_INT32", "TYPE_FP32")  # of what Triton computes from the shapes of a batch


def tensors_of(model: Model) -> Iterator[tuple[str, str, ModelInput | ModelOutput]]:
    """Each input and output that is written out: where, Triton's word for it, the tensor."""
    for index, tensor in enumerate(model.config.input):
        yield f"input[{index}]", "model input ", tensor
    for index, tensor in enumerate(model.config.output):
        yield f"output[{index}]", "model output ", tensor


def fully_said(model: Model) -> Iterator[Finding]:
    """Name, data type and dims of each tensor."""
    for where, kind, tensor in tensors_of(model):
        for problem, mend in (
            ("must specify 'name'", "write name") if not tensor.name else ("", ""),
            ("must specify 'data_type'", "write data_type, for instance TYPE_FP32")
            if not tensor.data_type
            else ("", ""),
            ("must specify 'dims'", "write dims without the batch axis; [1] for one value")
            if not tensor.dims
            else ("", ""),
            (NOT_A_SIZE, WRITE_DIMS) if any(not is_size(size) for size in tensor.dims) else ("", ""),
        ):
            if problem:
                name = f"'{tensor.name}' " if tensor.name else ""
                yield model.refused(where, f"{kind}{name}{problem} for {model.name}", mend)


def reshape_fits(model: Model) -> Iterator[Finding]:
    """A reshape holds as many values as the dims, open dimension by open dimension."""
    for where, kind, tensor in tensors_of(model):
        if not tensor.HasField("reshape") or not tensor.dims:
            continue
        shape, problem = list(tensor.reshape.shape), ""
        if not shape and not model.config.max_batch_size:
            problem = "cannot have empty reshape for non-batching model as scalar tensors are not supported"
        elif any(not is_size(size) for size in shape):
            problem = f"reshape {NOT_A_SIZE[:9]}s{NOT_A_SIZE[9:]}"
        elif list(tensor.dims).count(-1) != shape.count(-1) and -1 in tensor.dims and -1 in shape:
            problem = "has different number of variable-size dimensions for dims and reshape"
        elif trunks(tensor.dims) != trunks(shape) and not (not shape and math.prod(tensor.dims) == 1):
            problem = "has different size for dims and reshape"
        if problem:
            says = f"{kind}'{tensor.name}' {problem} for {model.name}"
            yield model.refused(f"{where}.reshape", says, "let dims and reshape hold equally many values")


def of_the_platform(model: Model) -> Iterator[Finding]:
    """Formats and kinds of tensors that only some platforms have."""
    for where, _, tensor in tensors_of(model):
        image = isinstance(tensor, ModelInput) and tensor.format != ModelInput.FORMAT_NONE
        if image and len(tensor.dims) != 3:
            says = f"model input NHWC/NCHW require 3 dims for {model.name}"
            yield model.refused(f"{where}.format", says, "remove format, or write 3 dims")
        if model.config.platform == PLAN:
            continue
        if tensor.is_shape_tensor:
            says = f"shape tensors are only supported for TensorRT platform for {model.name}"
            yield model.refused(f"{where}.is_shape_tensor", says, "remove is_shape_tensor")
        if tensor.is_non_linear_format_io:
            says = f"Non-linear IO format is only supported for the TensorRT platform for {model.name}"
            yield model.refused(f"{where}.is_non_linear_format_io", says, "remove is_non_linear_format_io")


def named_once(model: Model) -> Iterator[Finding]:
    """A second tensor of the same name is never looked at."""
    for tensors in (model.config.input, model.config.output):
        names = [tensor.name for tensor in tensors]
        kind = "input" if tensors is model.config.input else "output"
        for index, name in enumerate(names):
            if name and name in names[:index] and model.config.backend != "onnxruntime":
                says = f"loads, and knows only one {kind} '{name}'"
                yield model.advice(f"{kind}[{index}]", says, "give each tensor its own name")


def batch_size_is_one(model: Model) -> Iterator[Finding]:
    """max_batch_size is 0 (no batch axis) or more."""
    if model.config.max_batch_size < 0:
        says = f"'max_batch_size' must be non-negative value for {model.name}"
        yield model.refused(
            "max_batch_size", says, "write 0 for a model without a batch axis, or the most rows of a request"
        )


def batch_tensors(model: Model) -> Iterator[Finding]:
    """What Triton computes from the shapes of a batch: from one input that there is, of a type that it has."""
    config = model.config
    outputs, onnx = {tensor.name for tensor in config.output}, config.backend == "onnxruntime"
    for index, row in enumerate(config.batch_input):
        if onnx and not row.data_type:
            says = "unexpected batch input data type 'TYPE_INVALID'"
            yield model.refused(f"batch_input[{index}]", says, "write data_type: TYPE_INT32")
        elif says := source_problem(config, row):
            yield model.refused(f"batch_input[{index}].source_input", f"{says} for {model.name}", ONE_SOURCE)
        elif DataType.Name(row.data_type) not in BATCH_TYPES:
            says = f"batch input data type must be {' or '.join(BATCH_TYPES)} for {model.name}"
            yield model.refused(f"batch_input[{index}].data_type", says, "write data_type: TYPE_INT32")
    for index, row in enumerate(config.batch_output):
        targets = list(row.target_name)
        lost = next((target for target in targets if target not in outputs), None)
        if says := source_problem(config, row):
            yield model.refused(f"batch_output[{index}].source_input", f"{says} for {model.name}", ONE_SOURCE)
        elif onnx and not targets:
            says = "the server itself ends, with all its models, where a batch_output has no target"
            yield model.refused(
                f"batch_output[{index}]", says, f"name outputs of the config: {', '.join(sorted(outputs))}"
            )
        elif lost is not None or len(set(targets)) < len(targets):
            says = f"unknown target output name '{lost}'" if lost is not None else TWICE.format(targets[0])
            mend = f"name outputs of the config, each once: {', '.join(sorted(outputs))}"
            yield model.refused(f"batch_output[{index}].target_name", f"{says} for {model.name}", mend)


def source_problem(config: ModelConfig, row: BatchInput | BatchOutput) -> str:
    """Why a tensor is not computed from the shape of one input."""
    what, inputs = "input" if isinstance(row, BatchInput) else "output", {tensor.name for tensor in config.input}
    if len(row.source_input) != 1:
        return f"batch {what} kind '{row.Kind.Name(row.kind)}' expects 1 source input, got {len(row.source_input)}"
    unknown = row.source_input[0] not in inputs
    return f"unknown source input name '{row.source_input[0]}'" if unknown else ""


def texts_as_clients_send_them(model: Model, repository: Repository) -> Iterator[Finding]:
    """Clients send texts as [N, 1]; a front model that takes another shape refuses them."""
    if model.name in repository.parts:
        return
    for index, tensor in enumerate(model.config.input):
        if tensor.data_type != DataType.TYPE_STRING or not tensor.dims:
            continue
        takes = [-1, *tensor.dims] if model.config.max_batch_size else list(tensor.dims)
        if not model.config.max_batch_size and len(takes) == 1:
            says = (
                f"unexpected shape for input '{tensor.name}' for model '{model.name}'. Expected {shape_text(takes)}, "
                "got [1,1]"
            )
            mend = "clients send texts as [N, 1]: write max_batch_size and dims: [1]"
            yield model.advice(f"input[{index}].dims", says, mend)
        elif len(takes) > 2:
            says = (
                f"unexpected shape for input '{tensor.name}' for model '{model.name}'. Expected {shape_text(takes)}, "
                "got [1,1]"
            )
            mend = "dims are without the batch axis: write dims: [1] for one text an item"
            yield model.advice(f"input[{index}].dims", says, mend)


def is_size(size: int) -> bool:
    """Whether a config may say this size."""
    return size >= 1 or size == -1


def trunks(dims: Sequence[int]) -> list[int]:
    """The number of values between open dimensions: [2, 4, -1, 6] is [8, 6]."""
    counts = [1]
    for size in dims:
        if size == -1:
            counts.append(1)
        else:
            counts[-1] *= size
    return counts


def config_dims(tensor: ModelInput | ModelOutput) -> list[int]:
    """The dims that the engine's file is held against."""
    return list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)


def other_dims(shape: Sequence[int], full: Sequence[int], batching: bool) -> str:
    """The backends' words for a config whose shape, the batch axis included, is not the engine's."""
    begins = (
        f"the model expects {len(shape)} dimensions (shape {shape_text(shape)}) but the model configuration specifies"
    )
    if not batching:
        return f"{begins} {len(full)} dimensions (shape {shape_text(full)})"
    return (
        f"{begins} {len(full)} dimensions (an initial batch dimension because max_batch_size > 0 followed by the "
        f"explicit tensor shape, making complete shape {shape_text(full)})"
    )


def shape_text(shape: Sequence[int]) -> str:
    """A shape as Triton writes it."""
    return f"[{','.join(map(str, shape))}]"


RULES = (fully_said, reshape_fits, of_the_platform, named_once, batch_tensors, batch_size_is_one)
REPOSITORY_RULES = (texts_as_clients_send_them,)
