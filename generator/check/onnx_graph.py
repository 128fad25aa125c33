"""Rules on an ONNX file against its config, and against what the release's ONNX Runtime reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tritonclient.grpc.model_config_pb2 import DataType, ModelInput, ModelOutput

from tbgen.generator.check.complete import can_batch
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository, onnx_file
from tbgen.generator.check.onnx_file import NotOnnx, OnnxFile, Tensor
from tbgen.generator.check.tensors import shape_text


def graphs_of(model: Model) -> Iterator[tuple[int, OnnxFile]]:
    """The graphs that could be read."""
    for version, graph in model.graphs.items():
        if isinstance(graph, OnnxFile):
            yield version, graph


def readable(model: Model) -> Iterator[Finding]:
    """The file is an ONNX model, and the files that hold its weights are there whole."""
    for version, graph in model.graphs.items():
        file = onnx_file(model, version)
        if isinstance(graph, NotOnnx):
            why = "Protobuf parsing failed." if graph.code == 7 else "No graph was found in the protobuf."
            says = f"onnx runtime error {graph.code}: Load model from {file} failed:{why}"
            yield model.refused(model.file(file), says, f"the file is {graph}; export or fetch it again")
            continue
        for name, needed in graph.external.items():
            beside = file.parent / name
            there = beside.stat().st_size if beside.is_file() else -1
            if there < needed:
                missing = f'External data path does not exist: "{beside}"'
                says = (
                    missing if there < 0 else f"External data is out of bounds: {beside} has {there} of {needed} bytes"
                )
                mend = f"put {name} beside {file.name}, as the export wrote it"
                yield model.refused(model.file(file), f"onnx runtime error 1: {says}", mend)


def tensors_are_the_graphs(model: Model) -> Iterator[Finding]:
    """Names, types and dims of the config against every version's graph."""
    config = model.completed
    for _, graph in graphs_of(model):
        expected = sum(not tensor.optional for tensor in config.input) + len(config.batch_input)
        if expected != len(graph.required) and not config.HasField("sequence_batching"):
            yield model.refused(
                "input",
                f"unable to load model '{model.name}', configuration expects {expected} inputs, model provides "
                f"{len(graph.required)}",
                f"the graph takes {', '.join(graph.required)}",
            )
        for index, tensor in enumerate(config.input):
            yield from tensor_is_the_graphs(model, f"input[{index}]", "input", tensor, graph.inputs)
        for index, tensor in enumerate(config.output):
            yield from tensor_is_the_graphs(model, f"output[{index}]", "output", tensor, graph.outputs)


def tensor_is_the_graphs(
    model: Model, where: str, kind: str, tensor: ModelInput | ModelOutput, graph: Mapping[str, Tensor]
) -> Iterator[Finding]:
    """One tensor: known by its name, of the graph's type, with fitting dims."""
    if tensor.name not in graph:
        says = f"unexpected inference {kind} '{tensor.name}', allowed {kind}s are: {', '.join(sorted(graph))}"
        yield model.refused(where, says, f"name it as the graph does: {', '.join(graph)}")
        return
    there, wanted = graph[tensor.name], DataType.Name(tensor.data_type)
    if there.data_type != wanted:
        provided = "TYPE_BYTES" if there.data_type == "TYPE_STRING" else there.data_type
        yield model.refused(
            f"{where}.data_type",
            f"unable to load model '{model.name}', configuration expects datatype {wanted} for {kind} '{tensor.name}', "
            f"model provides {provided}",
            f"write data_type: {there.data_type}",
        )
    dims = list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
    batching = model.completed.max_batch_size > 0
    if isinstance(tensor, ModelInput) and tensor.optional and batching:
        says = f"unable to load model '{model.name}', optional input '{tensor.name}' is not supported for models that "
        yield model.refused(where, f"{says}support batching", "remove optional, or write max_batch_size: 0")
    if isinstance(tensor, ModelInput) and tensor.allow_ragged_batch:
        yield from ragged(model, where, tensor.name, there)
    elif problem := dims_problem(dims, there.shape, batching, exact=kind == "output"):
        graph_dims = list(there.shape[1:] if batching else there.shape) or [1]
        says = f"model '{model.name}', tensor '{tensor.name}': {problem}"
        mend = (
            f"write dims: {shape_text(graph_dims)}"
            if not batching or there.shape[:1] == (-1,)
            else "export with an open batch axis, or write max_batch_size: 0"
        )
        yield model.refused(f"{where}.dims", says, mend)


def ragged(model: Model, where: str, name: str, there: Tensor) -> Iterator[Finding]:
    """A ragged input must be one open axis in the graph."""
    if there.shape != (-1,):
        says = (
            f"unable to load model '{model.name}', configuration expects model provides input with shape [-1]  for "
            f"ragged input '{name}', model provides {shape_text(there.shape)}"
        )
        yield model.refused(where, says, "remove allow_ragged_batch")


def dims_problem(dims: Sequence[int], graph: Sequence[int], batching: bool, *, exact: bool) -> str:
    """Why dims do not fit to the graph's shape, in the backend's words; nothing when they do."""
    if not graph:
        only_ones = "scalar tensor, should only provide 1 in the model configuration when the model doesn't support "
        return (
            ""
            if all(size == 1 for size in dims)
            else f"{only_ones}batching. Model configuration provided: {shape_text(dims)}."
        )
    if batching and graph[0] != -1:
        return (
            "for the model to support batching the shape should have at least 1 dimension and the first dimension must "
            f"be -1; but shape expected by the model is {shape_text(graph)}"
        )
    full = [-1, *dims] if batching else list(dims)
    if len(full) == len(graph) and all(a == b or (a == -1 and not exact) for a, b in zip(graph, full, strict=True)):
        return ""
    begins = (
        f"the model expects {len(graph)} dimensions (shape {shape_text(graph)}) but the model configuration specifies"
    )
    if not batching:
        return f"{begins} {len(full)} dimensions (shape {shape_text(full)})"
    return (
        f"{begins} {len(full)} dimensions (an initial batch dimension because max_batch_size > 0 followed by the "
        f"explicit tensor shape, making complete shape {shape_text(full)})"
    )


def controls_are_the_graphs(model: Model) -> Iterator[Finding]:
    """The controls of sequence batching are inputs of the graph, one value a row."""
    for _, graph in graphs_of(model):
        for index, control in enumerate(model.config.sequence_batching.control_input):
            where, there = f"sequence_batching.control_input[{index}]", graph.inputs.get(control.name)
            if there is None:
                says = (
                    f"configuration specified sequence control '{control.name}', but model does not provide that input"
                )
                yield model.refused(where, says, f"the graph takes {', '.join(graph.inputs)}")
                continue
            dims = there.shape[1:] if model.completed.max_batch_size else there.shape
            if dims != (1,):
                says = f"unable to load model '{model.name}', sequence control '{control.name}' in model has dims "
                yield model.refused(
                    where, f"{says}{shape_text(dims)} but dims [1] is expected", "export it with dims [1]"
                )


def completable(model: Model) -> Iterator[Finding]:
    """Where the config leaves the tensors to Triton, the graph must have an open batch axis for a batch size."""
    left_out = not model.config.input or not model.config.output
    for _, graph in graphs_of(model) if left_out else ():
        if model.config.max_batch_size > 0 and not can_batch(graph):
            says = (
                f"autofill failed for model '{model.name}': model does not support batching while non-zero "
                "max_batch_size is specified"
            )
            yield model.refused("max_batch_size", says, "write max_batch_size: 0, or export with an open batch axis")
        elif model.config.max_batch_size == 0 and can_batch(graph):
            says = "fills in max_batch_size 4 and dynamic batching, so the tensors lose their first axis"
            yield model.advice("", says, "write max_batch_size, inputs and outputs")


def read_by_the_release(model: Model, repository: Repository) -> Iterator[Finding]:
    """Opset and IR version within what the release's ONNX Runtime reads."""
    release = repository.release
    for version, graph in graphs_of(model) if release else ():
        assert release
        place, opset = (
            model.file(onnx_file(model, version)),
            max(graph.opsets.get("", 0), graph.opsets.get("ai.onnx", 0)),
        )
        older = f"Triton {release.name} has ONNX Runtime {release.onnxruntime}"
        if graph.ir > release.ir:
            says = f"Unsupported model IR version: {graph.ir}, max supported IR version: {release.ir}"
            yield model.refused(
                place, says, f"{older}: save with IR version {release.ir} or lower, or use a newer Triton"
            )
        if opset > release.opset:
            says = (
                f"Opset {opset} is under development and support for this is limited. Current official support for "
                f"domain ai.onnx is till opset {release.opset}."
            )
            yield model.refused(
                place, says, f"{older}: export with opset {release.opset} or lower, or use a newer Triton"
            )


RULES = (readable, completable, tensors_are_the_graphs, controls_are_the_graphs)
REPOSITORY_RULES = (read_by_the_release,)
