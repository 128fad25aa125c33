"""ONNX files read and written, the weights in a file of their own where protobuf's 2 GB do not hold them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tbgen.export.errors import require

# Bytes of weights from which they get a file of their own: a protobuf message ends at 2 GiB, and the graph needs room.
APART_FROM = 2_000_000_000
MICROSOFT = "com.microsoft"


def load_graph(path: Path) -> Any:
    """The model in a file, with its weights."""
    return require("onnx", extra="onnx").load(str(path))


def save_graph(model: Any, path: Path) -> None:
    """Write a model to `path`; the weights of a large one to `weights_beside(path)`."""
    onnx = require("onnx", extra="onnx")
    imported = {entry.domain for entry in model.opset_import}
    if MICROSOFT not in imported and any(node.domain == MICROSOFT for node in model.graph.node):
        model.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))
    beside = weights_beside(path)
    beside.unlink(missing_ok=True)  # onnx appends to a file that is there
    if _is_large(model):
        onnx.save(model, str(path), save_as_external_data=True, location=beside.name, size_threshold=1024)
    else:
        onnx.save(model, str(path))


def weights_beside(path: Path) -> Path:
    """Where the weights of a large model lie."""
    return path.with_name(f"{path.name}.data")


def _is_large(model: Any) -> bool:
    """Whether a model's weights need a file of their own."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer) >= APART_FROM


def move_graph(source: Path, target: Path) -> None:
    """Give a model another place; one whose weights lie in several files gets one file for them."""
    if any(path != source for path in source.parent.iterdir()):
        save_graph(load_graph(source), target)
    else:
        source.replace(target)


def makers_of(graph: Any) -> dict[str, Any]:
    """The node that makes each tensor, by the tensor's name."""
    return {output: node for node in graph.node for output in node.output}


def inner_graphs(node: Any) -> Iterator[Any]:
    """The graphs inside a node: a loop's body, the ways of an If."""
    for attribute in node.attribute:
        yield from [attribute.g] if attribute.HasField("g") else []
        yield from attribute.graphs


def opset_of(model: Any) -> int:
    """The version of the standard operator set that a model uses."""
    return int(next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 1))
