"""Rules on ragged batches of ONNX models: what Triton adds beside flat inputs, and how it cuts flat outputs up again.

Triton holds neither against the graph: such a model loads, and its requests fail or are answered wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import BatchInput, DataType, ModelConfig, ModelInput

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model
from tbgen.generator.check.onnx_file import OnnxTensor
from tbgen.generator.check.onnx_graph import axes_of_tokens, batch_output_of, onnx_graphs, scatter_text
from tbgen.generator.data_types import TO_ONNX
from tbgen.generator.rules import onnxruntime
from tbgen.generator.rules.core.tensors import BATCH_TYPES
from tbgen.generator.rules.problem import Json, configured_dims, shape_text

_ITEM_SHAPE = BatchInput.BATCH_ITEM_SHAPE
_KIND_OF_RANK = {1: "BATCH_ITEM_SHAPE_FLATTEN", 2: "BATCH_ITEM_SHAPE"}
_PER_REQUEST = (
    BatchInput.BATCH_ELEMENT_COUNT,
    BatchInput.BATCH_ACCUMULATED_ELEMENT_COUNT,
    BatchInput.BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO,
)
_MIXED_UP = "answers row k of all tokens as item k"
_FAILS = "loads, and each request fails:"


def _added_inputs_are_the_graphs(model: Model) -> Iterator[Finding]:
    """What batch_input adds are inputs of the graph, of its types and ranks; with them the graph has all its inputs."""
    config = model.completed
    for _, graph in onnx_graphs(model) if config.batch_input else ():
        for problem in onnxruntime.run_problems(model.completed_values, graph.required, graph.inputs):
            yield from model.found([replace(problem, says=f"{_FAILS} {problem.says}")])
        brought = {tensor.name for tensor in config.input}
        for index, row in enumerate(config.batch_input):
            where = f"batch_input[{index}]"
            for name in row.target_name:
                if name in brought:
                    says = f"loads, and gives '{name}' beside the one that requests bring"
                    lacking = [each for each in graph.required if each not in (*brought, *row.target_name)]
                    mend = f'write target_name: "{lacking[0]}"' if lacking else "name an input that none brings"
                    yield model.fails(f"{where}.target_name", says, mend)
                elif name in graph.inputs:
                    yield from _added_input_is_the_graphs(model, where, row, name, graph.inputs[name])


def _added_input_is_the_graphs(
    model: Model, where: str, row: BatchInput, name: str, there: OnnxTensor
) -> Iterator[Finding]:
    """One tensor that Triton adds, against the graph's input of its name."""
    given, rank = DataType.Name(row.data_type), 2 if row.kind == _ITEM_SHAPE else 1
    if given != there.data_type and given in BATCH_TYPES:
        says = f"Unexpected input data type. Actual: ({TO_ONNX[given]}) , expected: ({TO_ONNX[there.data_type]})"
        write, export = f"write data_type: {there.data_type}", f"export the graph with an INT32 {name}"
        mend = write if there.data_type in BATCH_TYPES else f"{export}: Triton adds {' or '.join(BATCH_TYPES)}"
        yield model.fails(f"{where}.data_type", f"{_FAILS} onnx runtime error 2: {says}", mend)
    if rank != len(there.shape):
        says = f"Invalid rank for input: {name} Got: {rank} Expected: {len(there.shape)}"
        kind = _KIND_OF_RANK.get(len(there.shape))
        mend = f"write kind: {kind}" if kind else f"export the graph with one number an item in {name}"
        yield model.fails(
            f"{where}.kind",
            f"{_FAILS} onnx runtime error 2: {says} Please fix either the inputs/outputs or the model.",
            mend,
        )


def _counts_are_of_items(model: Model) -> Iterator[Finding]:
    """A kind that counts by request gives too few numbers where requests hold several items."""
    for index, row in enumerate(model.config.batch_input if model.completed.max_batch_size > 1 else ()):
        if row.kind in _PER_REQUEST and model.config.backend in ("onnxruntime", "tensorrt"):
            where, kind = f"batch_input[{index}].kind", BatchInput.Kind.Name(row.kind)
            unsaid = "" if where in model.lines.lines else " (a kind that is left out)"
            says = f"{kind}{unsaid} gives a number a request, so requests of several items are answered wrongly or fail"
            mend = "write kind: BATCH_ITEM_SHAPE_FLATTEN, a number an item, unless each request has one item"
            yield model.advice(where, says, mend)


def _ragged_items_have_one_axis(model: Model) -> Iterator[Finding]:
    """Clients must send every axis of a ragged input, though the graph sees but one."""
    for index, tensor in enumerate(model.config.input):
        if tensor.allow_ragged_batch and len(tensor.dims) > 1:
            shape = shape_text([-1] * (model.completed.max_batch_size > 0) + list(tensor.dims))
            says = f"clients must send shape {shape}, and batch_input gives {len(tensor.dims)} sizes an item"
            yield model.advice(f"input[{index}].dims", says, "write dims: [-1] where an item is one row of values")


def _outputs_of_tokens_go_to_their_requests(model: Model) -> Iterator[Finding]:
    """An output along the tokens is cut up by a batch_output, with sizes that are the graph's."""
    for _, graph in onnx_graphs(model):
        tokens = axes_of_tokens(model.completed, graph)
        for index, tensor in enumerate(model.completed_values["output"]):
            there, where = graph.outputs.get(tensor["name"]), f"output[{index}]"
            if there and (problem := _scatter_problem(model, where, tensor, there, along=bool(there.axes & tokens))):
                says, mend = problem
                yield model.fails(f"{where}.dims", f"loads, and {says}", mend)


def _scatter_problem(
    model: Model, where: str, tensor: Json, there: OnnxTensor, *, along: bool
) -> tuple[str, str] | None:
    """Why the values of an output do not go to the requests that they are of, and how to mend it.

    along: whether the graph gives it along the tokens of all items.
    """
    config, values, shape = model.completed, model.completed_values, list(there.shape)
    if not (row := batch_output_of(config, tensor["name"])):
        if not (along and config.max_batch_size) or any(onnxruntime.dims_problems(values, where, tensor, shape)):
            return None
        return _MIXED_UP, f"write -1 for the tokens before the other dims, and {scatter_text(config, tensor['name'])}"
    source = next((each for each in config.input if each.name in row.source_input), None)
    says = _cut_problem(config, configured_dims(tensor), source, there, along) if source else ""
    last = [size for size in there.shape[1:] if size != -1]
    return (says, f"write dims: {shape_text([*source.dims, *last] if along else last)}") if source and says else None


def _cut_problem(config: ModelConfig, dims: Sequence[int], source: ModelInput, there: OnnxTensor, along: bool) -> str:
    """What goes wrong when an output is cut by the shapes of a source input: Triton takes its sizes from the config."""
    batch = [-1] * (config.max_batch_size > 0)
    cut, shape = [*batch, *dims], [*batch, *source.dims]
    if any(place >= len(shape) for place, size in enumerate(cut) if size == -1):
        return f"takes a size from an axis that '{source.name}' does not have"
    if there.shape.count(-1) != 1:
        return ""
    given, values = (math.prod(size for size in sizes if size > 0) for sizes in (cut, there.shape))
    values *= math.prod(size for size in shape if size > 0) if along else 1
    if given != values:
        result = "reads memory behind the tensor" if given > values else "gives requests the values of others"
        return f"{result}: takes {given} values at a time where the graph gives {values}"
    missed = [place for place, size in enumerate(shape) if size == -1 and cut[place : place + 1] != [-1]]
    return _MIXED_UP if along and missed else ""


def _one_target_an_output(model: Model) -> Iterator[Finding]:
    """A batch_output has one target: the backend answers under the name of the first alone."""
    for index, row in enumerate(model.config.batch_output if model.config.backend == "onnxruntime" else ()):
        if len(row.target_name) > 1:
            says = (
                f"loads, and answers '{row.target_name[1]}' under the name and with the shape of '{row.target_name[0]}'"
            )
            yield model.fails(f"batch_output[{index}].target_name", says, "write a batch_output for each")


RULES = (
    _added_inputs_are_the_graphs,
    _counts_are_of_items,
    _ragged_items_have_one_axis,
    _outputs_of_tokens_go_to_their_requests,
    _one_target_an_output,
)
