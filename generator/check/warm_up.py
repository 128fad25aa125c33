"""Rules on warm-up samples, which Triton sends a model while it loads it: their inputs, rows and lengths.

A sample that is wrong in itself is refused. One that fails when it is run is refused too, or ends the whole server.
"""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import DataType, ModelInput, ModelWarmup

from tbgen.generator.calls import callee_of
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.lengths import engine_positions
from tbgen.generator.check.model import Model
from tbgen.generator.check.onnx_file import OnnxFile
from tbgen.generator.check.python_source import class_named, method_named
from tbgen.generator.check.records import longest_recorded
from tbgen.generator.check.warm_up_data import data_of_an_input, table_rows, warm_up_failure
from tbgen.generator.models.config import PYTHON_BACKENDS
from tbgen.generator.rules import tensorrt
from tbgen.generator.rules.core.complete import FILE_BACKENDS
from tbgen.generator.rules.core.instances import group_name
from tbgen.generator.rules.core.requests import missing_inputs, name_list, other_shape, other_type, too_few_inputs
from tbgen.generator.rules.problem import shape_text, takes

_TOKENS = "input_ids"
_ENDS = "; such a sample can end the server itself, with all its models"


def _warm_up(model: Model) -> Iterator[Finding]:
    """Each warm-up sample: rows that the model takes; its inputs, of its types and dims, with data that fits."""
    if model.is_ensemble:
        return
    for index, sample in enumerate(model.config.model_warmup):
        where = f"model_warmup[{index}]"
        if not sample.batch_size:
            says = f"Skipping batch 0 warmup sample '{sample.name}'"
            yield model.advice(where, says, "write batch_size: 1 or more")
            continue
        yield from _asks_others(model, sample, where)
        yield from _all_inputs(model, sample, where)
        yield from _as_many_rows(model, sample, where)
        yield from _lengths_of_the_plan(model, sample, where)
        for name in sorted(sample.inputs):
            yield from _warm_up_input(model, sample, name, f'{where}.inputs["{name}"]')


def _asks_others(model: Model, sample: ModelWarmup, where: str) -> Iterator[Finding]:
    """A model whose steps call another one may be warmed up before that is loaded: Triton loads both at once."""
    steps = (step for source in model.sources for step in source.steps or ())
    asked = next((name for step in steps if (name := callee_of(step))), None)
    if asked:
        says = f"failed to run warmup sample '{sample.name}', where {asked} is not loaded yet: its steps call it"
        yield model.advice(where, says, f"remove it, and warm {asked} up")


def _all_inputs(model: Model, sample: ModelWarmup, where: str) -> Iterator[Finding]:
    """A sample brings every input that is not optional. Triton itself counts them, and does not ask which they are."""
    config = model.completed
    missing = missing_inputs(config, sample.inputs)
    brought = sorted(tensor.name for tensor in config.input if tensor.name in sample.inputs)
    if not missing:
        return
    mend, needed = f"add inputs for {', '.join(missing)}", [tensor for tensor in config.input if not tensor.optional]
    if len(brought) >= len(needed) and model.config.backend in PYTHON_BACKENDS:
        says = f"runs '{sample.name}' without the required input(s) {name_list(missing)}"
        yield model.advice(where, says, mend)
    else:
        yield model.refused(where, too_few_inputs(config, brought, missing), mend)


def _as_many_rows(model: Model, sample: ModelWarmup, where: str) -> Iterator[Finding]:
    """batch_size is at most max_batch_size; 1 for a model without a batch axis."""
    most = model.completed.max_batch_size
    if sample.batch_size <= max(1, most) or (not most and _completes_itself(model)):
        return
    instance = f"{group_name(model.config, 0)}_0" if model.config.instance_group else model.name
    says = f"batch size {sample.batch_size} for '{instance}', max allowed is {most}"
    mend = f"write batch_size: {max(1, most)}, or let max_batch_size be {sample.batch_size}"
    looks = model.config.backend in (*FILE_BACKENDS, *PYTHON_BACKENDS)
    yield model.finding("refused" if looks else "advice", f"{where}.batch_size", says + _ENDS * looks, mend)


def _completes_itself(model: Model) -> bool:
    """Whether a Python model may fill its own max_batch_size in."""
    trees = [source.trees.get(source.entry) for source in model.sources]
    classes = [cls for tree in trees if tree and (cls := class_named(tree, "TritonPythonModel"))]
    return any(method_named(cls, "auto_complete_config") for cls in classes)


def _lengths_of_the_plan(model: Model, sample: ModelWarmup, where: str) -> Iterator[Finding]:
    """One of a plan's listed profiles takes the sample's rows and tokens."""
    dims = list(sample.inputs[_TOKENS].dims) if _TOKENS in sample.inputs else []
    if model.plan is None or len(dims) != 1:
        return
    rows, tokens = sample.batch_size, dims[0]
    asked = list(tensorrt.listed_profiles(model.values, model.plan).values())
    if asked and not any(profile.takes(rows, tokens) for profile in asked):
        says = warm_up_failure(sample, f"no listed profile takes {rows} x {tokens}{_ENDS}")
        ranges = ", ".join(f"{p.least[0]}-{p.most[0]} x {p.least[1]}-{p.most[1]}" for p in asked)
        yield model.refused(where, says, f"the profiles take {ranges} (rows x tokens)")


def _warm_up_input(model: Model, sample: ModelWarmup, name: str, where: str) -> Iterator[Finding]:
    """One input of a sample: known, type, dims, length, data."""
    data = sample.inputs[name]
    tensor = next((tensor for tensor in model.completed.input if tensor.name == name), None)
    if tensor is None:
        yield from _of_no_input(model, name, data, where)
    elif tensor.data_type != data.data_type:
        given, wanted = (DataType.Name(each.data_type) for each in (data, tensor))
        yield model.refused(where, other_type(model.name, name, given, wanted), f"write data_type: {wanted}")
    if -1 in data.dims:
        says = f"warmup setting expects all variable-size dimensions are specified for input '{name}'"
        yield model.refused(where, says, "write a size for each dimension")
        return
    if any(size < 0 for size in data.dims):
        says = f"input byte size mismatch for input '{name}' for model '{model.name}'"
        yield model.refused(where, says + _ENDS, "write sizes of 1 or more")
        return
    if tensor:
        yield from _dims_of_the_config(model, tensor, data, where)
        yield from _length_of_the_model(model, sample, name, where)
    yield from data_of_an_input(model, sample, name, data, where)


def _of_no_input(model: Model, name: str, data: ModelWarmup.Input, where: str) -> Iterator[Finding]:
    """What a sample brings beside the inputs is sent too: controls of sequences, say; else it is a slip."""
    config = model.config
    given = {control.name for control in config.sequence_batching.control_input}
    given |= {state.input_name for state in config.sequence_batching.state}
    given |= {target for row in config.batch_input for target in row.target_name}
    if name in given:
        return
    mend = f"remove it, or name one of {', '.join(tensor.name for tensor in model.completed.input)}"
    graphs = [graph for graph in model.graphs.values() if isinstance(graph, OnnxFile)]
    if config.backend == "onnxruntime" and not any(name in graph.inputs for graph in graphs):
        yield model.refused(where, f"Failed to retrieve the ONNX input tensor info from '{name}'.{_ENDS}", mend)
    elif config.backend in PYTHON_BACKENDS and not data.data_type:
        yield model.refused(where, f"input '{name}' has no data type, at which the model's process ends", mend)
    else:
        yield model.advice(where, f"sends an input '{name}' that the config does not have", mend)


def _dims_of_the_config(model: Model, tensor: ModelInput, data: ModelWarmup.Input, where: str) -> Iterator[Finding]:
    """The dims are the config's, of any size where these are open."""
    if not takes(tensor.dims, data.dims):
        wanted, given = list(tensor.dims), list(data.dims)
        if model.completed.max_batch_size:
            wanted, given = [-1, *wanted], [1, *given]
        mend = f"write dims as the config has them: {shape_text(tensor.dims)}"
        yield model.refused(where, other_shape(model.name, tensor.name, wanted, given), mend)


def _length_of_the_model(model: Model, sample: ModelWarmup, name: str, where: str) -> Iterator[Finding]:
    """Tokens are no more than the model has positions for, or than it was exported to read."""
    if name != _TOKENS and name not in table_rows(model):
        return
    tokens, positions, read = max(sample.inputs[name].dims, default=0), engine_positions(model), longest_recorded(model)
    if positions and tokens > positions:
        says = warm_up_failure(sample, f"{tokens} tokens, where the graph has {positions} positions{_ENDS}")
        yield model.refused(where, says, f"write dims: [ {positions} ], and as many ids, or fewer")
    elif not positions and read and tokens > read:
        says = f"warms up {tokens} tokens, and its tokenizer lets in {read}"
        yield model.advice(where, says, f"write dims: [ {read} ], and as many ids")


RULES = (_warm_up,)
