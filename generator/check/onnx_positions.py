"""Where an ONNX graph's positions begin: the families that count tokens count from a constant on, which it has."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tbgen.generator.check.onnx_file import Buffer, fields, packed, text

THROUGH = ("Cast", "Gather", "Identity", "Reshape", "Squeeze", "Unsqueeze")  # what only moves numbers, input 0
MODEL_GRAPH, GRAPH_NODE, GRAPH_INITIALIZER = 7, 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_TYPE, NODE_ATTRIBUTE = 1, 2, 4, 5
ATTRIBUTE_TENSOR = 5
TENSOR_DIMS, TENSOR_TYPE, TENSOR_INT64, TENSOR_NAME, TENSOR_RAW = 1, 2, 7, 8, 9
INT64 = 7


@dataclass
class Node:
    """One node: its operator, its tensors, and the number of a Constant that is one whole number."""

    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    number: int | None = None


def first_position(path: Path, table: str) -> int | None:
    """The row of a position table that belongs to a text's first token; None where the graph does not count tokens."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        graph = next((a, b) for number, a, b in fields(buffer, 0, len(buffer)) if number == MODEL_GRAPH)
        makers: dict[str, Node] = {}
        for node in nodes(buffer, *graph):
            if table in node.inputs:
                return None if node.operator != "Gather" else counted_from(node.inputs[1], makers)
            makers |= dict.fromkeys(node.outputs, node)
    return None


def counted_from(name: str, makers: Mapping[str, Node]) -> int | None:
    """The first of the positions in a tensor that is `count x counted + uncounted`, as transformers makes them."""
    node = maker(name, makers)
    if node.operator == "Mul":
        return 1  # nothing is added for uncounted tokens of id 0
    numbers = [makers[each].number for each in node.inputs if each in makers and makers[each].number is not None]
    counts = [each for each in node.inputs if maker(each, makers).operator == "Mul"]
    return numbers[0] + 1 if node.operator == "Add" and counts and numbers[0] is not None else None


def maker(name: str, makers: Mapping[str, Node]) -> Node:
    """The node that computes a tensor's numbers; one without an operator for a graph's input or weight."""
    node = makers.get(name, Node())
    return maker(node.inputs[0], makers) if node.operator in THROUGH else node


def nodes(buffer: Buffer, start: int, end: int) -> Iterator[Node]:
    """GraphProto's nodes in order, and before them its weights of one whole number, as constants."""
    parts = list(fields(buffer, start, end))
    for number, a, b in parts:
        if number == GRAPH_INITIALIZER and b - a < 1000:
            name, value = read_number(buffer, a, b)
            yield Node("Constant", [], [name], value)
    yield from (read_node(buffer, a, b) for number, a, b in parts if number == GRAPH_NODE)


def read_node(buffer: Buffer, start: int, end: int) -> Node:
    """NodeProto."""
    node = Node()
    for number, a, b in fields(buffer, start, end):
        if number in (NODE_INPUT, NODE_OUTPUT):
            (node.inputs if number == NODE_INPUT else node.outputs).append(text(buffer, a, b))
        elif number == NODE_TYPE:
            node.operator = text(buffer, a, b)
        elif number == NODE_ATTRIBUTE:
            tensors = [(c, d) for part, c, d in fields(buffer, a, b) if part == ATTRIBUTE_TENSOR]
            node.number = read_number(buffer, *tensors[0])[1] if tensors else None
    return node


def read_number(buffer: Buffer, start: int, end: int) -> tuple[str, int | None]:
    """TensorProto's name, and its value where it is one INT64."""
    name, sizes, data_type, values = "", list[int](), 0, list[int]()
    for number, a, b in fields(buffer, start, end):
        if number == TENSOR_DIMS:
            sizes += [a] if b < 0 else packed(buffer, a, b)
        elif number == TENSOR_TYPE:
            data_type = a
        elif number == TENSOR_NAME:
            name = text(buffer, a, b)
        elif number == TENSOR_INT64:
            values += [a] if b < 0 else packed(buffer, a, b)
        elif number == TENSOR_RAW and b - a == 8:
            values.append(int.from_bytes(buffer[a:b], "little", signed=True))
    return name, values[0] if data_type == INT64 and len(values) == 1 and sizes in ([], [1]) else None
