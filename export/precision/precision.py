"""An ONNX file in half precision or in 8 bits, with the islands that stay in FP32."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.errors import NoSuchName, UserError, require
from tbgen.export.layout import MODEL_ONNX
from tbgen.export.onnx.graph_file import load_graph, makers_of, move_graph, save_graph
from tbgen.export.onnx.twin import needs_gpu
from tbgen.export.precision.eight_bits import eight_bits, product_losses
from tbgen.export.precision.samples import Samples
from tbgen.export.scratch import scratch
from tbgen.export.tasks.model_kind import ModelKind

# Operators that lose answers in half precision: the variance of a layer norm overflows, sums of many tokens are coarse.
_ISLANDS = (
    "LayerNormalization",
    "SkipLayerNormalization",
    "EmbedLayerNormalization",
    "Softmax",
    "ReduceMean",
    "ReduceSum",
    "Pow",
)


@dataclass(frozen=True)
class Precision:
    """How an engine file is made of the FP32 one, and what it is held to against PyTorch.

    `tolerance` bounds the largest difference of a logit, `agreement` the share of equal decisions from below.
    """

    convert: Callable[[Path, Path, ModelKind, Sequence[str], Samples], None]
    tolerance: float
    agreement: float


def _unchanged(source: Path, target: Path, row: ModelKind, keep: Sequence[str], samples: Samples) -> None:  # noqa: ARG001
    """FP32, as it was traced."""
    move_graph(source, target)


def fp16(source: Path, target: Path, row: ModelKind, keep: Sequence[str], samples: Samples) -> None:  # noqa: ARG001
    """Half precision inside; inputs and outputs keep their types, and `fp32_nodes` and those named in `keep` theirs.

    A file for GPUs alone keeps its head: its other kernels compute in FP32 what would lose answers.
    """
    float16 = require("onnxruntime.transformers.float16", extra="onnx")
    kind = require("onnxruntime.transformers.onnx_model", extra="onnx").OnnxModel
    typed = _with_types(source)
    for_gpus = needs_gpu(typed.graph)
    nodes = _head_nodes(typed.graph, row) if for_gpus else fp32_nodes(typed.graph, row)
    nodes |= _named_nodes(typed.graph, keep)
    with converter("convert this graph to FP16", "with --precision fp32"):
        model = float16.convert_float_to_float16(
            typed,
            disable_shape_infer=True,
            keep_io_types=True,
            op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *(() if for_gpus else _ISLANDS)],
            node_block_list=sorted(nodes),
        )
        drop_doubles(model.graph)
        half = kind(model)
        half.remove_cascaded_cast_nodes()
        half.remove_useless_cast_nodes()
        half.topological_sort(is_deterministic=True)  # the converter puts its casts at the end
    save_graph(half.model, target)


def drop_doubles(graph: Any) -> None:
    """Keep one of the casts that write the same tensor: some versions of the converter add one for each reader."""
    written: set[str] = set()
    doubles = []
    for node in graph.node:
        if node.op_type == "Cast" and node.output[0] in written:
            doubles.append(node)
        written.update(node.output)
    for node in doubles:
        graph.node.remove(node)  # the first that is equal; it does not matter which one stays


def _with_types(path: Path) -> Any:
    """A model with the types of its inner tensors, found on the file, so that it may be larger than 2 GB."""
    onnx = require("onnx", extra="onnx")
    model = load_graph(path)
    if any(node.domain for node in model.graph.node):  # onnx does not know the types behind com.microsoft's operators
        require("onnxruntime.transformers.optimizer", extra="onnx")  # it puts the next module's folder on the path
        infer = require("onnxruntime.transformers.shape_infer_helper", extra="onnx").SymbolicShapeInferenceHelper
        with converter("infer the types of this graph", "with --precision fp32"):
            return infer(model).infer_shapes(model, auto_merge=True, guess_output_rank=False)
    typed = path.with_name("typed.onnx")
    onnx.shape_inference.infer_shapes_path(str(path), str(typed))
    return load_graph(typed)


def int8(source: Path, target: Path, row: ModelKind, keep: Sequence[str], samples: Samples) -> None:
    """Weights of matrix products in 8 bits, a scale per column; each row of activations has its own."""
    graph = load_graph(source).graph
    kept = _head_nodes(graph, row) | _named_nodes(graph, keep)
    eight_bits(source, target, kept, list(samples.inputs(graph, pair=row.pair)), samples.found)


def lossy(source: Path, row: ModelKind, keep: Sequence[str], samples: Samples) -> list[str]:
    """The products that INT8 converts, those that lose most by themselves first."""
    with scratch() as folder:
        int8(source, folder / MODEL_ONNX, row, keep, samples)
    graph = load_graph(source).graph
    shares = product_losses(graph, _head_nodes(graph, row) | _named_nodes(graph, keep), samples.found)
    return sorted(shares, key=lambda name: -shares[name])


PRECISIONS = {
    "fp32": Precision(_unchanged, tolerance=1e-4, agreement=1.0),
    "fp16": Precision(fp16, tolerance=0.05, agreement=0.995),
    "int8": Precision(int8, tolerance=1.0, agreement=0.995),
}


def precision_named(name: str) -> Precision:
    """The row of a precision. Raises NoSuchName with the table."""
    if name not in PRECISIONS:
        raise NoSuchName("precision", name, list(PRECISIONS))
    return PRECISIONS[name]


def _named_nodes(graph: Any, keep: Sequence[str]) -> set[str]:
    """The nodes whose names begin as one of `keep` does. Raises UserError for a beginning that no node has."""
    found: set[str] = set()
    for start in keep:
        nodes = {node.name for node in graph.node if node.name.startswith(start)}
        if not nodes:
            raise UserError(f"no node's name begins with {start!r}; they look like {graph.node[-1].name!r}")
        found |= nodes
    return found


def fp32_nodes(graph: Any, row: ModelKind) -> set[str]:
    """The nodes that stay in FP32 where they are: mask, norms, pooling, classifier, and their constants."""
    makers = makers_of(graph)
    scores = [makers[node.input[0]] for node in graph.node if node.op_type == "Softmax" and node.input[0] in makers]
    found = {node.name for node in scores if node.op_type in {"Add", "Where"}}
    found |= _mask_nodes(graph) | _head_nodes(graph, row)
    found |= {node.name for node in graph.node if "norm" in node.name.lower() or _is_pooling(node.name)}
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.name)
    constants = (node for node in graph.node if node.op_type == "Constant")
    return found | {node.name for node in constants if set(readers.get(node.output[0], [])) <= found}


def _is_pooling(name: str) -> bool:
    """Whether a node is of the pooling or other layers that `pooled_model` puts behind the transformer."""
    return name.startswith("/model/") and (name.count("/") == 2 or name.startswith("/model/behind."))


def _mask_nodes(graph: Any) -> set[str]:
    """The nodes that make the mask and those where it meets the activations, but nothing behind these.

    A fused Attention adds the mask to scores in FP32 by itself.
    """
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {output for node in graph.node if node.op_type == "Constant" for output in node.output}
    mask, found = {"attention_mask"}, set()
    for node in graph.node:
        if mask & set(node.input) and node.op_type != "Attention":
            found.add(node.name)
            if set(node.input) <= mask | constants:
                mask.update(node.output)
    return found


def _head_nodes(graph: Any, row: ModelKind) -> set[str]:
    """The last matrix product before each output and what follows it, where outputs are classes or places."""
    if row.width not in {"labels", "sequence"}:
        return set()
    makers = makers_of(graph)
    found: set[str] = set()
    waiting = [output.name for output in graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting += [] if node.op_type in {"MatMul", "Gemm"} else list(node.input)
    return found


def other_export(instead: str) -> str:
    """What to do about a graph that this version of ONNX Runtime spoils."""
    return f"export {instead}, or with another version of onnxruntime"


@contextmanager
def converter(work: str, instead: str) -> Iterator[None]:
    """Keep ONNX Runtime's advice off the terminal while it converts; what it leads to is measured afterwards.

    Raises UserError where it fails: it cannot do `work`, `instead` says how to export.
    """
    runtime = require("onnxruntime", extra="onnx")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    except Exception as error:  # its scripts are written for graphs that they know, and fail in any way on others
        raise UserError(
            f"onnxruntime {runtime.__version__} cannot {work} ({type(error).__name__}: {error}); "
            + other_export(instead)
        ) from error
    finally:
        logging.disable(before)
