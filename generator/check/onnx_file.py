"""An ONNX file without its weights: the protobuf wire format is walked, and the tensors' bytes are stepped over.

Field numbers are those of onnx.proto. A BERT-large of 1.3 GB is read in milliseconds and needs neither onnx nor numpy.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tbgen.export.reading import refuse_special
from tbgen.generator.data_types import FROM_ONNX_NUMBER, INVALID
from tbgen.generator.rules.onnxruntime import data_type

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL = 1
_INT64 = 7
_NO_GRAPH = 2
LFS_POINTER = b"version https://git-lfs"

Buffer = mmap.mmap | bytes
_CUT_OFF = "cut off, or not ONNX at all"
_NO_TENSORS = {4: "seq", 5: "map", 8: "sparse_tensor", 9: "optional"}  # TypeProto's fields beside that of tensors

# Operators that give on what their first input holds, or some of it.
_PASSING = ("Gather", "Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Slice")


class NotOnnx(ValueError):
    """The file is not an ONNX model; says what it looks like, and ONNX Runtime's number for that."""

    def __init__(self, looks: str, code: int = 7) -> None:
        super().__init__(looks)
        self.code = code


@dataclass(frozen=True)
class OnnxTensor:
    """A graph's input or output: its data type as the onnxruntime rulebook has it; its shape, -1 for open axes.

    axes: the names of the open axes that have one.
    """

    data_type: str
    shape: tuple[int, ...]
    axes: frozenset[str] = frozenset()


@dataclass
class Node:
    """One node: its operator, its tensors; the axis of a Gather, the value of a Constant that is one whole number."""

    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    axis: int = 0
    number: int | None = None


@dataclass
class OnnxFile:
    """What an ONNX file says of itself, without its weights.

    initializers: name -> shape of each weight. external: file beside it -> bytes that its weights need of it.
    numbers: name -> value, of the weights that are one whole number.
    """

    ir: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, OnnxTensor] = field(default_factory=dict)
    outputs: dict[str, OnnxTensor] = field(default_factory=dict)
    initializers: dict[str, tuple[int, ...]] = field(default_factory=dict)
    external: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    @property
    def rows(self) -> dict[str, int]:
        """Input -> how many rows the weights have that its values name: fewest, where there are several."""
        passed, found = dict[str, str](), dict[str, int]()
        for node in self.nodes:
            if node.operator in _PASSING and node.inputs and node.outputs:
                passed |= {node.outputs[0]: passed.get(node.inputs[0], node.inputs[0])}
            if node.operator == "Gather" and node.axis == 0 and len(node.inputs) > 1:
                weight, name = node.inputs[0], passed.get(node.inputs[1], node.inputs[1])
                if name in self.required and self.initializers.get(weight):
                    count = self.initializers[weight][0]
                    found[name] = min(count, found.get(name, count))
        return found

    @property
    def required(self) -> dict[str, OnnxTensor]:
        """The inputs that a request must bring: those without a default among the weights."""
        return {name: tensor for name, tensor in self.inputs.items() if name not in self.initializers}


def read_onnx(path: Path) -> OnnxFile:
    """Read a file's graph inputs and outputs, versions, and its weights' names and shapes.

    Raises NotOnnx, OSError, and UserError for a pipe or a device.
    """
    refuse_special(path)
    with path.open("rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            raise NotOnnx("a Git LFS pointer: the model itself was not fetched")
        if os.fstat(stream.fileno()).st_size == 0:  # a file of /proc, too, which holds something all the same
            raise NotOnnx("empty", _NO_GRAPH)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
            try:
                model = _read_model(buffer)
            except NotOnnx:
                raise
            except (IndexError, ValueError) as error:  # no UTF-8, or a place that is no number
                raise NotOnnx(_CUT_OFF) from error
    if not model.outputs:
        raise NotOnnx("without a graph", _NO_GRAPH)
    return model


def _read_model(buffer: Buffer) -> OnnxFile:
    """ModelProto."""
    model = OnnxFile()
    for number, start, end in _fields(buffer, 0, len(buffer)):
        if number == 1:
            model.ir = start
        elif number == 7:
            _read_graph(buffer, start, end, model)
        elif number == 8:
            parts = {part: (a, b) for part, a, b in _fields(buffer, start, end)}
            domain = _text(buffer, *parts[1]) if 1 in parts else ""
            model.opsets[domain] = parts[2][0] if 2 in parts else 0
    return model


def _read_graph(buffer: Buffer, start: int, end: int, model: OnnxFile) -> None:
    """GraphProto, into `model`."""
    for number, a, b in _fields(buffer, start, end):
        if number == 1:
            model.nodes.append(_read_node(buffer, a, b))
        elif number == 5:
            _read_initializer(buffer, a, b, model)
        elif number in (11, 12):
            name, tensor = _read_value(buffer, a, b)
            (model.inputs if number == 11 else model.outputs)[name] = tensor


def _read_node(buffer: Buffer, start: int, end: int) -> Node:
    """NodeProto. Only of a Gather or a Constant, which have one attribute, are axis and number meant."""
    node = Node()
    for number, a, b in _fields(buffer, start, end):
        if number in (1, 2):
            (node.inputs if number == 1 else node.outputs).append(_text(buffer, a, b))
        elif number == 4:
            node.operator = _text(buffer, a, b)
        elif number == 5:
            for part, c, d in _fields(buffer, a, b):
                if part == 3:
                    node.axis = c
                elif part == 5:
                    node.number = _whole_number(buffer, c, d)
    return node


def _whole_number(buffer: Buffer, start: int, end: int) -> int | None:
    """TensorProto's value where it is one INT64."""
    sizes, data_type, values = list[int](), 0, list[int]()
    for number, a, b in _fields(buffer, start, end):
        if number == 1:
            sizes += [a] if b < 0 else _packed(buffer, a, b)
        elif number == 2:
            data_type = a
        elif number == 7:
            values += [a] if b < 0 else _packed(buffer, a, b)
        elif number == 9 and b - a == 8:
            values.append(int.from_bytes(buffer[a:b], "little", signed=True))
    return values[0] if data_type == _INT64 and len(values) == 1 and sizes in ([], [1]) else None


def _read_initializer(buffer: Buffer, start: int, end: int, model: OnnxFile) -> None:
    """TensorProto, into `model`: name, shape, and where its bytes are when they are in another file."""
    name, shape, places, location = "", list[int](), dict[str, str](), 0
    for number, a, b in _fields(buffer, start, end):
        if number == 1:
            shape += [a] if b < 0 else _packed(buffer, a, b)
        elif number == 8:
            name = _text(buffer, a, b)
        elif number == 13:
            entry = {part: _text(buffer, c, d) for part, c, d in _fields(buffer, a, b)}
            places[entry.get(1, "")] = entry.get(2, "")
        elif number == 14:
            location = a
    model.initializers[name] = tuple(shape)
    if all(size == 1 for size in shape) and (value := _whole_number(buffer, start, end)) is not None:
        model.numbers[name] = value
    if location == _EXTERNAL:
        file = places.get("location", "")
        needed = int(places.get("offset", 0)) + int(places.get("length", 0))
        model.external[file] = max(model.external.get(file, 0), needed)


def _read_value(buffer: Buffer, start: int, end: int) -> tuple[str, OnnxTensor]:
    """ValueInfoProto: a name and its type."""
    name, tensor = "", OnnxTensor(INVALID, ())
    for number, a, b in _fields(buffer, start, end):
        if number == 1:
            name = _text(buffer, a, b)
        elif number == 2:
            for kind, c, d in _fields(buffer, a, b):
                if kind == 1:
                    tensor = _read_tensor_type(buffer, c, d)
                elif kind in _NO_TENSORS:
                    tensor = OnnxTensor(data_type(_NO_TENSORS[kind]), ())
    return name, tensor


def _read_tensor_type(buffer: Buffer, start: int, end: int) -> OnnxTensor:
    """TypeProto.Tensor."""
    kind, shape, axes = 0, list[int](), set[str]()
    for number, a, b in _fields(buffer, start, end):
        if number == 1:
            kind = a
        elif number == 2:
            for _, c, d in _fields(buffer, a, b):
                axis = {part: (e, f) for part, e, f in _fields(buffer, c, d)}
                shape.append(axis[1][0] if 1 in axis else -1)
                axes |= {_text(buffer, *axis[2])} if 2 in axis else set()
    return OnnxTensor(FROM_ONNX_NUMBER.get(kind, INVALID), tuple(shape), frozenset(axes - {""}))


def _fields(buffer: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of one message: number, then start and end of its bytes, or its value and -1. Raises NotOnnx."""
    while start < end:
        key, start = _varint(buffer, start)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise NotOnnx(_CUT_OFF)
        if wire == _VARINT:
            value, start = _varint(buffer, start)
            yield number, value, -1
            continue
        if wire == _BYTES:
            size, start = _varint(buffer, start)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise NotOnnx("not a protobuf message")
        if start + size > end:
            raise NotOnnx(_CUT_OFF)
        yield number, start, start + size
        start += size


def _varint(buffer: Buffer, start: int) -> tuple[int, int]:
    """The number at `start`, and where it ends; a negative one is read as such. Raises NotOnnx, IndexError."""
    value = shift = 0
    while True:
        byte = buffer[start]
        start += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value - (1 << 64) if value >> 63 else value), start
        if shift > 63:
            raise NotOnnx("not a protobuf message")


def _packed(buffer: Buffer, start: int, end: int) -> list[int]:
    """The numbers of a packed field."""
    values = []
    while start < end:
        value, start = _varint(buffer, start)
        values.append(value)
    return values


def _text(buffer: Buffer, start: int, end: int) -> str:
    """A string field."""
    return bytes(buffer[start:end]).decode("utf-8")
