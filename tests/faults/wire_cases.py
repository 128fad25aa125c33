"""Requests that a client may send in error or in malice, each made anew from a seed and its number."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import DataType

from tbgen.generator.models.config import config_from_text
from tbgen.generator.steps.chain import chain_parameters
from tbgen.generator.steps.load import steps_from_folder

SIZES = {"BOOL": 1, "UINT8": 1, "INT8": 1, "INT16": 2, "FP16": 2, "INT32": 4, "FP32": 4, "INT64": 8, "FP64": 8}
TYPES = [*SIZES, "BYTES", "BF16", "", "STRING", "TYPE_FP32", "fp32", "NOTHING"]
TEXTS = [
    b"",
    b" \t\n",
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "한".encode()[:2],
    "금리 상한가 좋다".encode(),
    "🔥".encode() * 300,
    "e\u0301\u0302".encode() * 500,
    "\u202e\u200f\ufeff".encode(),
    b"[MASK] " * 60,
    b"[CLS] [SEP] [PAD] [UNK]",
    b"a" * 20_000,
    b"a b " * 5_000,
    b'"}],"x":[{"',
    b"../../etc/passwd",
    b"$(touch /tmp/x) {} {0} %s",
    b"\r\n\r\nHTTP/1.1 200 OK\r\n",
]
NUMBERS = [0, 1, -1, 3, 1.5, -0.0, 255, 2**31 - 1, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 1e308, 1e-320]
NESTED = json.loads("[" * 200 + "]" * 200)
VALUES = [None, True, False, "", "x", "\ud800", "\x00", "한글", "a" * 5_000, [], {}, [[]], {"": {}}, NESTED, *NUMBERS]
JSON_TEXTS = [
    *("[" * 5_000, '{"a":' * 5_000, "{", "nan", "[1]", '{"a": 1e999}', '{"\\ud800": 1}', '{"a": ' + "9" * 5_000 + "}"),
    *(
        '{"top_k": 3}',
        '{"top_k": NaN}',
        '{"top_k": [1]}',
        '{"truncation": null}',
        "\ud800",
        "{}" * 100,
        '{"a":1,"a":2}',
    ),
]
# Triton's own request parameters, which it reads before a step does.
TRITONS = ["priority", "timeout", "sequence_id", "sequence_start", "binary_data_output", "headers"]
HEADERS: list[tuple[str, Callable[[random.Random], str]]] = [
    ("Inference-Header-Content-Length", lambda rng: str(rng.choice(["", "x", "1e3", "0x10", *map(str, NUMBERS)]))),
    ("Content-Encoding", lambda rng: rng.choice(["gzip", "deflate", "br", "identity", "", "gzip, gzip"])),
    ("Content-Type", lambda rng: rng.choice(["", "text/plain", "application/octet-stream", "x" * 3_000])),
    ("Accept-Encoding", lambda rng: rng.choice(["gzip", "deflate", "*", "\xff", "gzip;q=x"])),
    ("triton_client_timeout", lambda rng: str(rng.choice(NUMBERS))),
    ("Expect", lambda rng: rng.choice(["100-continue", "nothing"])),
    ("x" * 500, lambda rng: "y" * rng.randrange(6_000)),
]


@dataclass(frozen=True)
class Target:
    """A model as its client sees it: its tensors, name -> (type, dims), and the names of its parameters.

    classes: the outputs whose best classes may be asked for; of text, or of no numbers, that ends Triton 2.51.
    """

    name: str
    inputs: dict[str, tuple[str, tuple[int, ...]]]
    outputs: tuple[str, ...]
    classes: frozenset[str]
    parameters: tuple[str, ...]


@dataclass
class Case:
    """One request on the wire; `kinds` say what was done to it."""

    model: str
    protocol: str
    body: bytes
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)


def targets_of(repository: Path) -> list[Target]:
    """The models of a repository but its engines: what a client is meant to ask, and the parts of ensembles."""
    found = []
    for folder in sorted(repository.iterdir()):
        config = config_from_text((folder / "config.pbtxt").read_text(encoding="utf-8"))
        if config.backend == "onnxruntime" or config.platform.startswith("onnxruntime"):
            continue
        steps = steps_from_folder(folder / "1") if (folder / "1" / "steps.json").exists() else []
        inputs = {each.name: (type_of(each.data_type), tuple(each.dims)) for each in config.input}
        outputs = tuple(each.name for each in config.output)
        fixed = (each for each in config.output if min(each.dims) > 0 and type_of(each.data_type) == "FP32")
        classes = frozenset(each.name for each in fixed)
        found.append(Target(folder.name, inputs, outputs, classes, tuple(chain_parameters(steps))))
    return found


def type_of(number: int) -> str:
    """The name that a request has for a configuration's data type."""
    return DataType.Name(number).removeprefix("TYPE_").replace("STRING", "BYTES")


def case_of(seed: int, number: int, targets: list[Target]) -> Case:
    """The request of that number: the same one for the same seed and models."""
    rng = random.Random(f"{seed}/{number}")
    target = rng.choice(targets)
    return grpc_case(rng, target) if rng.random() < 0.4 else http_case(rng, target)


@dataclass
class Tensor:
    """An input as it will be sent, whose parts need not fit each other."""

    name: str
    kind: str
    shape: list[Any]
    raw: bytes


def tensors_of(rng: random.Random, target: Target) -> list[Tensor]:
    """All inputs of a model for a few items, with hostile content in right shapes."""
    rows, length = rng.choice([1] * 10 + [2, 3, 2, 3, 4, 33]), rng.randrange(1, 5)
    tensors = []
    for name, (kind, dims) in target.inputs.items():
        if rng.random() < 0.1:  # not those of its neighbours
            rows, length = rng.randrange(1, 4), rng.randrange(1, 8)
        shape = [rows, *(length if size < 0 else size for size in dims)]
        tensors.append(Tensor(name, kind, shape, raw_of(rng, kind, math.prod(shape))))
    return tensors


def raw_of(rng: random.Random, kind: str, count: int) -> bytes:
    """The bytes of so many elements."""
    if kind == "BYTES":
        return b"".join(struct.pack("<I", len(text)) + text for text in rng.choices(TEXTS, k=count))
    if rng.random() < 0.5:
        return rng.randbytes(count * SIZES[kind])
    letter = {"FP32": "f", "INT32": "i", "INT64": "q", "FP16": "e"}[kind]
    values = [0, 1, 2, 3, -1, 100] if letter in "iq" else [0.0, 1.0, -2.5, 1e4, float("nan"), float("-inf")]
    return struct.pack(f"<{count}{letter}", *rng.choices(values, k=count))


def parameters_of(rng: random.Random, target: Target) -> dict[str, Any]:
    """Parameters, hostile ones among them."""
    names = [*target.parameters, "tbgen_parameters", "tbgen_parameters", "topk", "", *TRITONS]
    chosen = rng.sample(names, k=min(len(names), rng.randrange(1, 4)))
    return {name: rng.choice(JSON_TEXTS if name == "tbgen_parameters" else [*VALUES, *JSON_TEXTS]) for name in chosen}


def shape_of(rng: random.Random, shape: list[Any]) -> list[Any]:
    """Another shape. Sizes from 2**31 on are left out: one ends Triton 2.51 (docs/explanation/reliability.md)."""
    new = list(shape)
    if rng.random() < 0.3:
        new.insert(rng.randrange(len(new) + 1), 1)
    elif rng.random() < 0.3 and new:
        new.pop(rng.randrange(len(new)))
    if new:
        new[rng.randrange(len(new))] = rng.choice([0, 1, 2, 7, 129, 65_536, 2**31 - 1, -1, -(2**31)])
    return new


def resized(rng: random.Random, raw: bytes) -> bytes:
    """Bytes of another number."""
    return rng.choice([raw[: rng.randrange(len(raw) + 1)], raw + rng.randbytes(rng.randrange(1, 9)), b"", raw * 2])


def mangled(rng: random.Random, raw: bytes) -> bytes:
    """Bytes of which some are others, are left out, or stand twice."""
    data = bytearray(raw)
    for _ in range(rng.randrange(1, 6)):
        if not data:
            break
        place = rng.randrange(len(data))
        change = rng.randrange(4)
        if change == 0:
            data[place] = rng.randrange(256)
        elif change == 1:
            del data[place : place + rng.randrange(1, 20)]
        elif change == 2:
            data[place:place] = data[place : place + rng.randrange(1, 20)]
        else:
            data[place:place] = rng.choice([b"{", b"]", b'"', b"\\u", b"-", b"\x00", b"1e5", b"null"])
    return bytes(data)


def http_case(rng: random.Random, target: Target) -> Case:
    """A request over HTTP, its tensors in JSON or behind it."""
    case = Case(target.name, "http", b"", f"/v2/models/{target.name}/infer", {"Content-Type": "application/json"})
    case.kinds = rng.choices(["shape", "type", "size", "tree", "bytes", "parameters", "header", "path"], k=2)
    case.kinds = ["content", *case.kinds[: rng.choice([0, 0, 1, 1, 2])]]
    tensors = changed(rng, tensors_of(rng, target), case.kinds)
    rows = [json_tensor(rng, tensor) for tensor in tensors]
    tail = b"".join(tensor.raw for tensor, row in zip(tensors, rows, strict=True) if "data" not in row)
    request: dict[str, Any] = {"inputs": rows, "id": rng.choice(["", "1", "x" * 300])}
    if rng.random() < 0.3:
        request["outputs"] = http_outputs(rng, target)
    if "parameters" in case.kinds:
        request["parameters"] = parameters_of(rng, target)
    if "tree" in case.kinds:
        change_tree(rng, request)
    head = json.dumps(request).encode()
    case.body = head + tail
    if tail or rng.random() < 0.3:
        case.headers["Inference-Header-Content-Length"] = str(len(head))
    if "bytes" in case.kinds:
        case.body = mangled(rng, case.body)
    if "header" in case.kinds:
        name, value = rng.choice(HEADERS)
        case.headers[name] = value(rng)
    if "path" in case.kinds:
        case.path = path_of(rng, target, case)
    return case


def changed(rng: random.Random, tensors: list[Tensor], kinds: list[str]) -> list[Tensor]:
    """Tensors with other shapes, types, numbers of bytes; one more or one less of them."""
    for tensor in tensors:
        if "shape" in kinds and rng.random() < 0.7:
            tensor.shape = shape_of(rng, tensor.shape)
        if "type" in kinds and rng.random() < 0.7:
            tensor.kind = rng.choice(TYPES)
        if "size" in kinds and rng.random() < 0.7:
            tensor.raw = resized(rng, tensor.raw)
    if "size" in kinds and rng.random() < 0.2:
        tensors = rng.choices(tensors, k=rng.randrange(4))
    return tensors


def json_tensor(rng: random.Random, tensor: Tensor) -> dict[str, Any]:
    """A tensor's row in JSON: its values, or the number of bytes behind."""
    row: dict[str, Any] = {"name": tensor.name, "shape": tensor.shape, "datatype": tensor.kind}
    if rng.random() < 0.5:
        length = len(tensor.raw) if rng.random() < 0.9 else rng.choice(NUMBERS)
        return row | {"parameters": {"binary_data_size": length}}
    row["shape"] = [min(size, 64) for size in tensor.shape]  # Triton 2.51 allots what a shape asks for, gigabytes too
    count = min(math.prod(row["shape"]), 200)
    if tensor.kind == "BYTES":
        texts = [text.decode("utf-8", "surrogateescape") for text in rng.choices(TEXTS, k=max(count, 0))]
        return row | {"data": texts}
    return row | {"data": rng.choices(NUMBERS[:10], k=max(count, 0))}


def http_outputs(rng: random.Random, target: Target) -> list[dict[str, Any]]:
    """The outputs that are asked for, or their best classes."""
    rows = []
    for name in rng.sample([*target.outputs, "nothing"], k=rng.randrange(1, len(target.outputs) + 2)):
        rows.append({"name": name, "parameters": {"binary_data": rng.choice([True, False] * 20 + [1, "x"])}})
        if name in target.classes and rng.random() < 0.3:
            rows[-1]["parameters"] = {"classification": rng.choice([1, 2, 1000])}
    return rows


def change_tree(rng: random.Random, tree: Any) -> None:
    """Put another value somewhere into a JSON tree, or take one out; shapes and output names stay (see above)."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in pairs:
            if key not in ("shape", "outputs"):
                places.append((node, key))
                walk(value)

    walk(tree)
    node, key = rng.choice(places)
    if rng.random() < 0.25:
        del node[key]
    else:
        node[key] = rng.choice(VALUES)


def path_of(rng: random.Random, target: Target, case: Case) -> str:
    """Another address, or the one for flat JSON, with a body for it."""
    if rng.random() < 0.5:
        flat = {name: rng.choice([*VALUES, "금리", ["a", "b"]]) for name in target.inputs}
        case.body = json.dumps(flat | (parameters_of(rng, target) if rng.random() < 0.5 else {})).encode()
        case.headers.pop("Inference-Header-Content-Length", None)
        return f"/v2/models/{target.name}/{rng.choice(['generate', 'generate_stream'])}"
    names = [target.name, "nothing", "", "..", "%2e%2e", "%00", "x" * 3_000, "%ff"]
    versions = ["", "/versions/1", "/versions/99", "/versions/-1", "/versions/x", "/versions/" + "9" * 30]
    ends = ["infer", "config", "ready", "stats", "", "infer?x=%", "infer/infer"]
    return f"/v2/models/{rng.choice(names)}{rng.choice(versions)}/{rng.choice(ends)}"


def grpc_case(rng: random.Random, target: Target) -> Case:
    """A request over gRPC, as the bytes of its message."""
    case = Case(target.name, "grpc", b"", "ModelInfer")
    case.kinds = rng.choices(["shape", "type", "size", "fields", "bytes", "parameters", "typed"], k=2)
    case.kinds = ["content", *case.kinds[: rng.choice([0, 0, 1, 1, 2])]]
    request = service_pb2.ModelInferRequest(model_name=target.name)
    for tensor in changed(rng, tensors_of(rng, target), case.kinds):
        sent = request.inputs.add(name=tensor.name, datatype=tensor.kind, shape=tensor.shape)
        if "typed" in case.kinds:
            sent.contents.CopyFrom(typed_contents(rng))
        if "typed" not in case.kinds or rng.random() < 0.3:
            request.raw_input_contents.append(tensor.raw)
    if rng.random() < 0.3:
        for name in rng.sample([*target.outputs, "nothing"], k=1):
            request.outputs.add(name=name)
    if "parameters" in case.kinds:
        set_parameters(rng, request, parameters_of(rng, target))
    if "fields" in case.kinds:
        place = rng.choice(["model_name", "model_version", "id"])
        setattr(request, place, rng.choice(["", "nothing", "99", "-1", "x" * 3_000, "../x", "한글", "\x00"]))
    case.body = request.SerializeToString()
    if "bytes" in case.kinds:
        case.body = mangled(rng, case.body)
    return case


def typed_contents(rng: random.Random) -> Any:
    """Values of a tensor in the message itself, of any type."""
    contents = service_pb2.InferTensorContents()
    kind = rng.choice(["bytes_contents", "fp32_contents", "int64_contents", "int_contents", "bool_contents"])
    values: list[Any] = TEXTS if kind == "bytes_contents" else [0, 1]
    getattr(contents, kind).extend(rng.choices(values, k=rng.randrange(4)))
    return contents


def set_parameters(rng: random.Random, request: Any, values: dict[str, Any]) -> None:
    """Put parameters of a message's four types into it, or of none."""
    for name, value in values.items():
        parameter = request.parameters[name]
        if isinstance(value, bool):
            parameter.bool_param = value
        elif isinstance(value, int) and abs(value) < 2**63:
            parameter.int64_param = value
        elif isinstance(value, float):
            parameter.double_param = value
        elif rng.random() < 0.9:
            parameter.string_param = str(value).encode("utf-8", "replace").decode()
