"""Rules on an ONNX file against its config, and against what the release's ONNX Runtime reads."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import BatchOutput, ModelConfig, ModelInstanceGroup

from tbgen.export.onnx.twin import GPU_ALONE
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository, onnx_or_problem, specs_of
from tbgen.generator.check.onnx_file import NotOnnx, OnnxFile
from tbgen.generator.releases import CUDA_SETTINGS_SINCE
from tbgen.generator.rules import onnxruntime


def onnx_graphs(model: Model) -> Iterator[tuple[int, OnnxFile]]:
    """The graphs that could be read."""
    for version, graph in model.graphs.items():
        if isinstance(graph, OnnxFile):
            yield version, graph


def _readable(model: Model) -> Iterator[Finding]:
    """The file is an ONNX model, and the files that hold its weights are there whole."""
    for version, graph in model.graphs.items():
        file = model.engine_file(version)
        if isinstance(graph, NotOnnx):
            why = "Protobuf parsing failed." if graph.code == 7 else "No graph was found in the protobuf."
            says = f"onnx runtime error {graph.code}: Load model from {file} failed:{why}"
            yield model.refused(model.file(file), says, f"the file is {graph}; export or fetch it again")
            continue
        for name, needed in graph.external.items():
            beside = file.parent / name
            there = beside.stat().st_size if beside.is_file() else -1
            says = f"External data is out of bounds: {beside} has {there} of {needed} bytes"
            if there < 0:
                says = f'External data path does not exist: "{beside}"'
            if there < needed:
                mend = f"put {name} beside {file.name}, as the export wrote it"
                yield model.refused(model.file(file), f"onnx runtime error 1: {says}", mend)


def _tensors_are_the_graphs(model: Model) -> Iterator[Finding]:
    """Names, types and dims of the config against every version's graph."""
    config, values = model.completed, model.completed_values
    for _, graph in onnx_graphs(model):
        optional = {name: tensor for name, tensor in graph.inputs.items() if name not in graph.required}
        inputs, outputs = specs_of(graph.required), specs_of(graph.outputs)
        if onnxruntime.lacks_tensors(values):  # which could not be completed
            yield from model.found(onnxruntime.tensor_kinds(inputs, outputs))
            continue
        tokens = axes_of_tokens(config, graph)
        for problem in onnxruntime.problems(values, inputs, specs_of(optional), outputs):
            mend = _mend_along_tokens(config, graph, problem.where, tokens) or problem.mend
            yield from model.found([replace(problem, mend=mend)])


def _mend_along_tokens(config: ModelConfig, graph: OnnxFile, where: str, tokens: frozenset[str]) -> str:
    """What to write where the dims of an output go along the tokens of all items; nothing for another problem."""
    for index, tensor in enumerate(config.output if config.max_batch_size else ()):
        there = graph.outputs.get(tensor.name)
        if where == f"output[{index}].dims" and there and there.axes & tokens and there.shape[0] == -1:
            return f"if it goes along the tokens, add {scatter_text(config, tensor.name)}"
    return ""


def batch_output_of(config: ModelConfig, output: str) -> BatchOutput | None:
    """The batch_output by which Triton cuts an output up among the requests, if there is one."""
    return next((row for row in config.batch_output if output in row.target_name), None)


def axes_of_tokens(config: ModelConfig, graph: OnnxFile) -> frozenset[str]:
    """The graph's names of the axis along which ragged inputs lie, where it does not name the items alike."""
    ragged = {tensor.name for tensor in config.input if tensor.allow_ragged_batch}
    axes = frozenset(axis for name, tensor in graph.inputs.items() if name in ragged for axis in tensor.axes)
    others = frozenset(axis for name, tensor in graph.inputs.items() if name not in ragged for axis in tensor.axes)
    return axes - others


def scatter_text(config: ModelConfig, output: str) -> str:
    """The batch_output that gives each request the tokens of its own."""
    source = next(tensor.name for tensor in config.input if tensor.allow_ragged_batch)
    kind = "kind: BATCH_SCATTER_WITH_INPUT_SHAPE"
    return f'batch_output {{ target_name: "{output}" {kind} source_input: "{source}" }}'


def _completable(model: Model) -> Iterator[Finding]:
    """Where the config leaves the tensors to Triton, the graph must have an open batch axis for a batch size."""
    for _, graph in onnx_graphs(model) if onnxruntime.lacks_tensors(model.values) else ():
        values, specs = copy.deepcopy(model.values), [specs_of(graph.required), specs_of(graph.outputs)]
        try:
            onnxruntime.complete_config(values, *specs)
        except ValueError as error:
            if not any(onnxruntime.tensor_kinds(*specs)):  # which is said of the graph
                mend = "write max_batch_size: 0, or export with an open batch axis"
                yield model.refused("max_batch_size", str(error), mend)
        else:
            if values["max_batch_size"] != model.config.max_batch_size:
                says = "fills in max_batch_size 4 and dynamic batching, so the tensors lose their first axis"
                yield model.advice("", says, "write max_batch_size, inputs and outputs")


def _read_by_the_release(model: Model, repository: Repository) -> Iterator[Finding]:
    """Opset and IR version within what the release's ONNX Runtime reads."""
    release = repository.release
    for version, graph in onnx_graphs(model) if release else ():
        assert release
        older = f"Triton {release.name} has ONNX Runtime {release.onnxruntime}"
        opset = max(graph.opsets.get("", 0), graph.opsets.get("ai.onnx", 0))
        place = model.file(model.engine_file(version))
        if graph.ir > release.ir:
            says = f"Unsupported model IR version: {graph.ir}, max supported IR version: {release.ir}"
            mend = f"{older}: save with IR version {release.ir} or lower, or use a newer Triton"
            yield model.refused(place, says, mend)
        if opset > release.opset:
            says = (
                f"Opset {opset} is under development and support for this is limited. Current official support for "
                f"domain ai.onnx is till opset {release.opset}."
            )
            mend = f"{older}: export with opset {release.opset} or lower, or use a newer Triton"
            yield model.refused(place, says, mend)


def _operators_of_gpus(model: Model) -> Iterator[Finding]:
    """A file with operators that ONNX Runtime has for CUDA alone has instances on GPUs alone."""
    kinds = {group.kind for group in model.config.instance_group} or {ModelInstanceGroup.KIND_AUTO}
    for file in model.onnx_files if kinds != {ModelInstanceGroup.KIND_GPU} else ():
        graph = onnx_or_problem(file)
        nodes = graph.nodes if isinstance(graph, OnnxFile) else ()
        if operator := next((node.operator for node in nodes if node.operator in GPU_ALONE), None):
            says = f"onnx runtime error 9: Failed to find kernel for com.microsoft.{operator}(1)"
            mend = "write instance_group { kind: KIND_GPU }, or scaffold it with an engine for CPUs, such as onnx"
            if ModelInstanceGroup.KIND_CPU in kinds:
                yield model.refused(model.file(file), says, mend)
            else:
                yield model.advice(model.file(file), f"on a server without a GPU: {says}", mend)


def _accelerator_of_the_release(model: Model, repository: Repository) -> Iterator[Finding]:
    """Settings of the CUDA provider are known to the backend from a release on."""
    release = repository.release
    if release is None or release.name >= CUDA_SETTINGS_SINCE or model.config.backend != "onnxruntime":
        return
    rows = model.config.optimization.execution_accelerators.gpu_execution_accelerator
    for index, row in enumerate(rows):
        if row.name == "cuda":
            yield model.refused(
                f"optimization.execution_accelerators.gpu_execution_accelerator[{index}]",
                "unknown Execution Accelerator 'cuda' is requested",
                f"Triton {release.name} does not know it, {CUDA_SETTINGS_SINCE} does; remove it, and know that "
                f"onnxruntime {release.onnxruntime} sums up fused norms in half precision then",
            )


RULES = (_readable, _completable, _tensors_are_the_graphs, _operators_of_gpus)
REPOSITORY_RULES = (_read_by_the_release, _accelerator_of_the_release)
