"""Rules on an ONNX file against its config, and against what the release's ONNX Runtime reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonclient.grpc.model_config_pb2 import BatchOutput, DataType, ModelConfig, ModelInput, ModelOutput

from tbgen.generator.check.complete import completed_batching, values_of
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository, onnx_file
from tbgen.generator.check.onnx_file import NotOnnx, OnnxFile, Tensor
from tbgen.generator.check.tensors import config_dims, shape_text
from tbgen.generator.standins.onnxruntime.onnx_configuration import check_shape, lacks_tensors


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
                mend_of_count(config, graph),
            )
        for index, tensor in enumerate(config.input):
            yield from tensor_is_the_graphs(model, f"input[{index}]", tensor, graph)
        for index, tensor in enumerate(config.output):
            yield from tensor_is_the_graphs(model, f"output[{index}]", tensor, graph)


def mend_of_count(config: ModelConfig, graph: OnnxFile) -> str:
    """What to write where a config gives more or fewer inputs than the graph takes."""
    if any(len(row.target_name) > 1 for row in config.batch_input):
        return "write a batch_input for each target_name: Triton counts an entry as one input"
    given = {tensor.name for tensor in config.input} | {name for row in config.batch_input for name in row.target_name}
    lacking = [name for name in graph.required if name not in given]
    source = next((tensor.name for tensor in config.input if tensor.allow_ragged_batch), None)
    takes = f"the graph takes {', '.join(graph.required)}"
    if not (source and lacking):
        return takes
    added = f'target_name: "{lacking[0]}" kind: BATCH_ITEM_SHAPE_FLATTEN data_type: TYPE_INT32 source_input: "{source}"'
    return f"{takes}; what Triton is to add beside ragged inputs is a batch_input {{ {added} }}"


def tensor_is_the_graphs(
    model: Model, where: str, tensor: ModelInput | ModelOutput, graph: OnnxFile
) -> Iterator[Finding]:
    """One tensor: known by its name, of the graph's type, with fitting dims."""
    kind, tensors = ("input", graph.inputs) if isinstance(tensor, ModelInput) else ("output", graph.outputs)
    if tensor.name not in tensors:
        says = f"unexpected inference {kind} '{tensor.name}', allowed {kind}s are: {', '.join(sorted(tensors))}"
        yield model.refused(where, says, f"name it as the graph does: {', '.join(tensors)}")
        return
    there, wanted = tensors[tensor.name], DataType.Name(tensor.data_type)
    if there.data_type != wanted:
        provided = "TYPE_BYTES" if there.data_type == "TYPE_STRING" else there.data_type
        yield model.refused(
            f"{where}.data_type",
            f"unable to load model '{model.name}', configuration expects datatype {wanted} for {kind} '{tensor.name}', "
            f"model provides {provided}",
            f"write data_type: {there.data_type}",
        )
    batching = model.completed.max_batch_size > 0
    if isinstance(tensor, ModelInput) and tensor.optional and batching:
        says = f"unable to load model '{model.name}', optional input '{tensor.name}' is not supported for models that "
        yield model.refused(where, f"{says}support batching", "remove optional, or write max_batch_size: 0")
    if isinstance(tensor, ModelInput) and tensor.allow_ragged_batch:
        yield from ragged(model, where, tensor.name, there)
    elif kind == "output" and scattered(model.completed, tensor.name):
        return  # Triton cuts it as the config says, whatever the graph's shape
    elif says := dims_problem(model.completed, tensor, there.shape):
        yield model.refused(f"{where}.dims", says, mend_of_dims(model.completed, tensor, there, graph))


def mend_of_dims(config: ModelConfig, tensor: ModelInput | ModelOutput, there: Tensor, graph: OnnxFile) -> str:
    """What to write where dims are not the graph's."""
    batching, axes = config.max_batch_size > 0, list(there.shape[config.max_batch_size > 0 :])
    if batching and there.shape[:1] != (-1,):
        return "export with an open batch axis, or write max_batch_size: 0"
    if batching and isinstance(tensor, ModelInput) and len(there.shape) == 1:
        return "write allow_ragged_batch: true if it is flat, or dims: [1] reshape { shape: [ ] } for one value an item"
    if batching and there.axes & axes_of_tokens(config, graph):
        return f"if it goes along the tokens, add {scatter_text(config, tensor.name)}"
    if batching and not axes:
        return "write dims: [1] reshape { shape: [ ] }"
    return f"write dims: {shape_text(axes or [1])}"


def scattered(config: ModelConfig, output: str) -> BatchOutput | None:
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


def ragged(model: Model, where: str, name: str, there: Tensor) -> Iterator[Finding]:
    """A ragged input must be one open axis in the graph."""
    if there.shape != (-1,):
        says = (
            f"unable to load model '{model.name}', configuration expects model provides input with shape [-1]  for "
            f"ragged input '{name}', model provides {shape_text(there.shape)}"
        )
        mend = "remove allow_ragged_batch, or export a graph that takes the items of all requests in one axis, [-1]"
        yield model.refused(where, says, mend)


def dims_problem(config: ModelConfig, tensor: ModelInput | ModelOutput, shape: Sequence[int]) -> str:
    """Why a tensor's dims do not fit to the graph's shape, in the backend's words; nothing when they do."""
    values = {"name": config.name, "max_batch_size": config.max_batch_size}
    named = {"name": tensor.name, "dims": config_dims(tensor)}
    try:
        check_shape(values, named, list(shape), exact=isinstance(tensor, ModelOutput))
    except ValueError as error:
        return str(error)
    return ""


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
    for _, graph in graphs_of(model) if lacks_tensors(values_of(model.config)) else ():
        try:
            filled_in = completed_batching(model.config, graph) != model.config.max_batch_size
        except ValueError as error:
            mend = "write max_batch_size: 0, or export with an open batch axis"
            yield model.refused("max_batch_size", str(error), mend)
        else:
            if filled_in:
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
