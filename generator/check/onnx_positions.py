"""Where an ONNX graph's positions begin: the families that count tokens count from a constant on, which it has."""

from __future__ import annotations

from collections.abc import Mapping

from tbgen.generator.check.onnx_file import Node, OnnxFile

THROUGH = ("Cast", "Gather", "Identity", "Reshape", "Squeeze", "Unsqueeze")  # what only moves numbers, input 0


def first_position(graph: OnnxFile, table: str) -> int | None:
    """The row of a position table that belongs to a text's first token; None where the graph does not count tokens."""
    makers = {name: Node("Constant", [], [name], number=number) for name, number in graph.numbers.items()}
    for node in graph.nodes:
        if table in node.inputs:
            return counted_from(node.inputs[1], makers) if node.operator == "Gather" else None
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
