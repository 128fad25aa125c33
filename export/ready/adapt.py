"""An ONNX file made elsewhere gets the engine's tensors: their names, types and widths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.onnx.graph_file import inner_graphs
from tbgen.export.tasks.model_kind import ModelKind
from tbgen.export.tokenizers.tokenizer import COLUMNS, TYPES


def names_from_words(words: Sequence[str]) -> dict[str, str]:
    """OLD=NEW words as old name -> new name. Raises UserError."""
    pairs = [word.rpartition("=") for word in words]
    if wrong := [word for word, (old, _, new) in zip(words, pairs, strict=True) if not (old and new)]:
        raise UserError(f"cannot read {wrong[0]!r}; a tensor gets another name with --rename OLD=NEW")
    return {old: new for old, _, new in pairs}


def graph_inputs(graph: Any) -> list[Any]:
    """What a graph takes: files of IR version 3 list their weights among its inputs."""
    weights = {tensor.name for tensor in graph.initializer}
    return [tensor for tensor in graph.input if tensor.name not in weights]


def are_inputs(names: Iterable[str]) -> bool:
    """Whether a model that takes these can be an engine: token types need not be among them."""
    return COLUMNS.keys() - {TYPES} <= {*names} <= COLUMNS.keys()


def engine_names(graph: Any, row: ModelKind, rename: Mapping[str, str], shown: str) -> dict[str, str]:
    """The name that the engine has for each tensor of a graph that it needs: as renamed, or else as it is understood.

    An output is understood by the name of transformers' own field, such as logits, and the only output by itself.
    Raises UserError for tensors that are not there, and for those that are needed and not found.
    """
    inputs = [tensor.name for tensor in graph_inputs(graph)]
    outputs = [tensor.name for tensor in graph.output]
    if wrong := sorted(rename.keys() - {*inputs, *outputs}):
        raise UserError(f"{shown} has no tensor {wrong[0]!r}; it takes {', '.join(inputs)}, gives {', '.join(outputs)}")
    found = {name: rename.get(name, name) for name in inputs}
    if not are_inputs(found.values()) or len({*found.values()}) < len(found):
        raise UserError(
            f"{shown} takes {', '.join(inputs)}; it must take input_ids and attention_mask, and may take "
            "token_type_ids: name what is one of these under another name with --rename OLD=NEW"
        )
    given = {rename.get(name, name): name for name in outputs}
    for wanted, field in row.outputs.items():
        alone = outputs if len(outputs) == len(row.outputs) == 1 else []
        old = next((given[name] for name in (wanted, field, *alone) if name in given), None)
        if old is None:
            raise UserError(
                f"{shown} gives {', '.join(outputs)}; this task needs {', '.join(row.outputs)}: say which it is with "
                f"--rename OLD={wanted}"
            )
        found[old] = wanted
    return found


def adapt(model: Any, names: Mapping[str, str], shown: str) -> bool:
    """Give a loaded model the engine's tensors in place, and tell whether anything had to change.

    names: as `engine_names` gives them; other outputs go. Token tensors of unequal or other types become INT64, outputs
    FP32. Raises UserError for a name that is taken inside the graph.
    """
    graph, kinds = model.graph, require("onnx", extra="onnx").TensorProto
    inputs = graph_inputs(graph)
    own = {tensor.type.tensor_type.elem_type for tensor in inputs}
    token = own.pop() if len(own) == 1 and own <= {kinds.INT32, kinds.INT64} else kinds.INT64
    other = {old: new for old, new in names.items() if new != old}
    inner = {name for node in graph.node for name in node.output} | {tensor.name for tensor in graph.initializer}
    if clash := sorted(inner & {*other.values()} - other.keys()):
        raise UserError(f"{shown} has an inner tensor named {clash[0]!r} already; rename that one in the graph")
    wrong = [tensor for tensor in inputs if tensor.type.tensor_type.elem_type != token]
    coarse = [
        tensor for tensor in graph.output if tensor.name in names and tensor.type.tensor_type.elem_type != kinds.FLOAT
    ]
    if not other and not wrong and not coarse:
        return False
    for tensor in [tensor for tensor in graph.output if tensor.name not in names]:
        graph.output.remove(tensor)
    _rename_tensors(graph, other)
    before = [_cast_input(graph, tensor, token) for tensor in wrong]
    behind = [_cast_output(graph, tensor, kinds.FLOAT) for tensor in coarse]
    nodes = [type(node).FromString(node.SerializeToString()) for node in graph.node]  # they go with the list
    del graph.node[:]
    graph.node.extend([*before, *nodes, *behind])
    return True


def _rename_tensors(graph: Any, names: Mapping[str, str]) -> None:
    """Give tensors new names wherever a graph, or a graph within it, speaks of them."""
    for tensor in (*graph.input, *graph.output, *graph.value_info):
        tensor.name = names.get(tensor.name, tensor.name)
    _rename_in_nodes(graph, names)


def _rename_in_nodes(graph: Any, names: Mapping[str, str]) -> None:
    """The same in the nodes alone."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in inner_graphs(node):
            _rename_tensors(inner, names)


def _cast_input(graph: Any, tensor: Any, kind: int) -> Any:
    """Let an input have another type; the node that gives the graph the type it had."""
    own = tensor.type.tensor_type.elem_type
    tensor.type.tensor_type.elem_type = kind
    _rename_in_nodes(graph, {tensor.name: f"{tensor.name}/own"})
    return _cast(tensor.name, f"{tensor.name}/own", own)


def _cast_output(graph: Any, tensor: Any, kind: int) -> Any:
    """Let an output have another type; the node that makes it of what the graph gives."""
    tensor.type.tensor_type.elem_type = kind
    _rename_in_nodes(graph, {tensor.name: f"{tensor.name}/own"})
    return _cast(f"{tensor.name}/own", tensor.name, kind)


def _cast(old: str, new: str, kind: int) -> Any:
    """A node that changes a tensor's type."""
    return require("onnx", extra="onnx").helper.make_node("Cast", [old], [new], name=f"cast/{new}", to=kind)


def fix_widths(model: Any, widths: Mapping[str, int]) -> bool:
    """Write the last axis of outputs as the number that was measured, where a graph leaves it open; whether it did.

    Triton compares an output's dims with the graph's, and the steps behind it know a width.
    """
    changed = False
    for tensor in model.graph.output:
        axes = tensor.type.tensor_type.shape.dim
        if tensor.name in widths and len(axes) > 1 and not axes[-1].dim_value:
            axes[-1].dim_value = widths[tensor.name]
            changed = True
    return changed


def name_nodes(model: Any) -> None:
    """Give nodes without a name one: the converters name by it what they leave alone."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
