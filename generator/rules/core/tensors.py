"""Triton's core on the inputs and outputs of a config: name, data type, dims, reshape, what a batch's shapes give."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from tritonclient.grpc.model_config_pb2 import BatchInput, BatchOutput, DataType, ModelConfig, ModelInput, ModelOutput

from tbgen.generator.rules.core.complete import PLAN_PLATFORM
from tbgen.generator.rules.problem import Problem, advise

_NOT_A_SIZE = " must be integer >= 1, or -1 to indicate a variable-size dimension"
BATCH_TYPES = ("TYPE_INT32", "TYPE_FP32")  # of what Triton computes from the shapes of a batch
ConfigTensor: TypeAlias = ModelInput | ModelOutput


def _tensors_of(config: ModelConfig) -> Iterator[tuple[str, str, ConfigTensor]]:
    """Each input and output that is written out: where, Triton's words for it, the tensor."""
    for kind, tensors in (("input", config.input), ("output", config.output)):
        for index, tensor in enumerate(tensors):
            yield f"{kind}[{index}]", f"model {kind} ", tensor


def _fully_said(config: ModelConfig) -> Iterator[Problem]:
    """Name, data type and dims of each tensor."""
    for where, kind, tensor in _tensors_of(config):
        name = f"'{tensor.name}' " if tensor.name else ""
        for wrong, problem, mend in (
            (not tensor.name, "must specify 'name'", "write name"),
            (not tensor.data_type, "must specify 'data_type'", "write data_type, for instance TYPE_FP32"),
            (not tensor.dims, "must specify 'dims'", "write dims without the batch axis; [1] for one value"),
            (
                not all(map(_is_size, tensor.dims)),
                f"dimension{_NOT_A_SIZE}",
                "write sizes of 1 or more, or -1 for an open dimension",
            ),
        ):
            if wrong:
                yield Problem(where, f"{kind}{name}{problem} for {config.name}", mend)


def _reshape_fits(config: ModelConfig) -> Iterator[Problem]:
    """A reshape holds as many values as the dims, open dimension by open dimension."""
    for where, kind, tensor in _tensors_of(config):
        if tensor.HasField("reshape") and tensor.dims and (problem := _reshape_problem(config, tensor)):
            says = f"{kind}'{tensor.name}' {problem} for {config.name}"
            yield Problem(f"{where}.reshape", says, "let dims and reshape hold equally many values")


def _reshape_problem(config: ModelConfig, tensor: ConfigTensor) -> str:
    """Why a reshape does not fit to the dims; nothing when it does."""
    dims, shape = list(tensor.dims), list(tensor.reshape.shape)
    if not shape and not config.max_batch_size:
        return "cannot have empty reshape for non-batching model as scalar tensors are not supported"
    if not all(map(_is_size, shape)):
        return f"reshape dimensions{_NOT_A_SIZE}"
    if -1 in dims and -1 in shape and dims.count(-1) != shape.count(-1):
        return "has different number of variable-size dimensions for dims and reshape"
    same = _trunks(dims) == _trunks(shape) or (not shape and math.prod(dims) == 1)
    return "" if same else "has different size for dims and reshape"


def _of_the_platform(config: ModelConfig) -> Iterator[Problem]:
    """Formats and kinds of tensors that only some platforms have."""
    for where, _, tensor in _tensors_of(config):
        image = isinstance(tensor, ModelInput) and tensor.format != ModelInput.FORMAT_NONE
        elsewhere = config.platform != PLAN_PLATFORM
        for wrong, field, problem, mend in (
            (image and len(tensor.dims) != 3, "format", "model input NHWC/NCHW require 3 dims", ", or write 3 dims"),
            (
                elsewhere and tensor.is_shape_tensor,
                "is_shape_tensor",
                "shape tensors are only supported for TensorRT platform",
                "",
            ),
            (
                elsewhere and tensor.is_non_linear_format_io,
                "is_non_linear_format_io",
                "Non-linear IO format is only supported for the TensorRT platform",
                "",
            ),
        ):
            if wrong:
                yield Problem(f"{where}.{field}", f"{problem} for {config.name}", f"remove {field}{mend}")


def _named_once(config: ModelConfig) -> Iterator[Problem]:
    """A second tensor of the same name is never looked at."""
    for kind, tensors in (("input", config.input), ("output", config.output)):
        names = [tensor.name for tensor in tensors]
        for index, name in enumerate(names):
            if name and name in names[:index] and config.backend != "onnxruntime":
                says = f"loads, and knows only one {kind} '{name}'"
                yield advise(f"{kind}[{index}]", says, "give each tensor its own name")


def _batch_size_is_one(config: ModelConfig) -> Iterator[Problem]:
    """max_batch_size is 0 (no batch axis) or more."""
    if config.max_batch_size < 0:
        says = f"'max_batch_size' must be non-negative value for {config.name}"
        yield Problem("max_batch_size", says, "write 0 for a model without a batch axis, or the most rows of a request")


def _batch_tensors(config: ModelConfig) -> Iterator[Problem]:
    """What Triton computes from the shapes of a batch: from one input that there is, of a type that it has."""
    outputs = {tensor.name for tensor in config.output}
    for index, row in enumerate(config.batch_input):
        yield from _source_problems(config, f"batch_input[{index}]", row)
        read_by_backend = config.backend == "onnxruntime" and not row.data_type  # which refuses it before the core
        if not read_by_backend and DataType.Name(row.data_type) not in BATCH_TYPES:
            says = f"batch input data type must be {' or '.join(BATCH_TYPES)} for {config.name}"
            yield Problem(f"batch_input[{index}].data_type", says, "write data_type: TYPE_INT32")
    for index, row in enumerate(config.batch_output):
        yield from _source_problems(config, f"batch_output[{index}]", row)
        targets = list(row.target_name)
        says = "" if len(set(targets)) == len(targets) else _once(targets[0])
        says = next((f"unknown target output name '{name}'" for name in targets if name not in outputs), says)
        if says:
            mend = f"name outputs of the config, each once: {', '.join(sorted(outputs))}"
            yield Problem(f"batch_output[{index}].target_name", f"{says} for {config.name}", mend)


def _once(target: str) -> str:
    """The core's words for a target that is named twice."""
    return f"target output name '{target}' can only be specified once"


def _source_problems(config: ModelConfig, where: str, row: BatchInput | BatchOutput) -> Iterator[Problem]:
    """A tensor is computed from the shape of one input."""
    kind, sources = "input" if isinstance(row, BatchInput) else "output", list(row.source_input)
    if len(sources) != 1:
        says = f"batch {kind} kind '{row.Kind.Name(row.kind)}' expects 1 source input, got {len(sources)}"
    elif sources[0] not in {tensor.name for tensor in config.input}:
        says = f"unknown source input name '{sources[0]}'"
    else:
        return
    yield Problem(
        f"{where}.source_input", f"{says} for {config.name}", "write one source_input, an input of the config"
    )


def _is_size(size: int) -> bool:
    """Whether a config may say this size."""
    return size >= 1 or size == -1


def _trunks(dims: Sequence[int]) -> list[int]:
    """The number of values between open dimensions: [2, 4, -1, 6] is [8, 6]."""
    counts = [1]
    for size in dims:
        if size == -1:
            counts.append(1)
        else:
            counts[-1] *= size
    return counts


RULES = (_fully_said, _reshape_fits, _of_the_platform, _named_once, _batch_tensors, _batch_size_is_one)
