"""The twin of a file that only CUDA runs: the same graph, weights and precision, its attention in standard operators.

ONNX Runtime has the attention of varlen.py for GPUs alone. Where there is none the twin stands for the file: all of it
but the attention's kernels is what a GPU will run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tbgen.export.errors import require
from tbgen.export.onnx.graph_file import load_graph, opset_of, save_graph

GPU_ALONE = ("PackedAttention", "PackedMultiHeadAttention")  # of com.microsoft
_DOMAIN = "twin"
# As the kernels do it: scores and softmax in FP32, weights times values in the precision of the file. What `offset`
# says of places is read: a wrong one would be seen.
_FUNCTIONS = """
<domain: "twin", opset_import: ["": OPSET, "twin": 1]>
PackedMultiHeadAttention <num_heads, scale>(query, key, value, bias, offset, cumulative) => (mixed)
{
    zero = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    last = Constant <value = int64[1] {-1}> ()
    end = Constant <value = int64[1] {9223372036854775807}> ()
    begin = Constant <value_int = 0> ()
    step = Constant <value_int = 1> ()
    sums = Cast <to = 7> (cumulative)
    before = Slice (sums, zero, last)
    behind = Slice (sums, one, end)
    longest = Shape <start = 1> (offset)
    width = Squeeze (longest)
    columns = Range (begin, width, step)
    first = Unsqueeze (before, one)
    ends = Unsqueeze (behind, one)
    places = Add (first, columns)
    is_real = Less (places, ends)
    final = Sub (ends, one)
    tokens = Min (places, final)
    count = Constant <value_int: int = @num_heads> ()
    heads = Reshape (count, one)
    apart = Concat <axis = 0> (zero, zero, heads, last)
    padded_query = Gather (query, tokens)
    padded_key = Gather (key, tokens)
    padded_value = Gather (value, tokens)
    query_heads = Reshape (padded_query, apart)
    key_heads = Reshape (padded_key, apart)
    value_heads = Reshape (padded_value, apart)
    queries = Transpose <perm = [0, 2, 1, 3]> (query_heads)
    keys = Transpose <perm = [0, 2, 3, 1]> (key_heads)
    values = Transpose <perm = [0, 2, 1, 3]> (value_heads)
    wide_queries = Cast <to = 1> (queries)
    wide_keys = Cast <to = 1> (keys)
    products = MatMul (wide_queries, wide_keys)
    factor = Constant <value_float: float = @scale> ()
    scores = Mul (products, factor)
    lowest = Constant <value_float = -1e30> ()
    axes = Constant <value = int64[2] {1, 2}> ()
    seen = Unsqueeze (is_real, axes)
    masked = Where (seen, scores, lowest)
    shares = Softmax <axis = -1> (masked)
    rounded = CastLike (shares, value)
    sums_of_values = MatMul (rounded, values)
    by_token = Transpose <perm = [0, 2, 1, 3]> (sums_of_values)
    hidden = Shape <start = 1> (query)
    flat = Concat <axis = 0> (last, hidden)
    padded = Reshape (by_token, flat)
    tokens_there = Shape <start = 0, end = 1> (query)
    order = Reshape (offset, last)
    taken = Slice (order, zero, tokens_there)
    mixed = Gather (padded, taken)
}
<domain: "twin", opset_import: ["": OPSET, "twin": 1]>
PackedAttention <num_heads, scale>(states, weight, bias, offset, cumulative) => (mixed)
{
    product = MatMul (states, weight)
    projected = Add (product, bias)
    three = Constant <value = int64[1] {3}> ()
    all = Shape <start = 1> (weight)
    third = Div (all, three)
    sizes = Concat <axis = 0> (third, third, third)
    query, key, value = Split <axis = 1> (projected, sizes)
    mixed = twin.PackedMultiHeadAttention <num_heads: int = @num_heads, scale: float = @scale>
        (query, key, value, , offset, cumulative)
}
"""


def needs_gpu(graph: Any) -> bool:
    """Whether a graph has attention that ONNX Runtime runs on GPUs alone."""
    return any(node.op_type in GPU_ALONE for node in graph.node)


def twin_of(model: Any) -> Any:
    """A loaded model with such attention spelled out; its tensors keep their names. Others are given as they are."""
    if not needs_gpu(model.graph):
        return model
    for node in model.graph.node:
        if node.op_type in GPU_ALONE:
            node.domain = _DOMAIN
    texts = _FUNCTIONS.replace("OPSET", str(opset_of(model))).split("<domain")[1:]
    return inline_functions(model, _DOMAIN, [f"<domain{text}" for text in texts])


def inline_functions(model: Any, domain: str, functions: Sequence[str]) -> Any:
    """A model whose nodes of `domain` are written out as these functions, in onnx's language for graphs, say."""
    onnx = require("onnx", extra="onnx")
    require("onnx.inliner", extra="onnx")
    model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    model.functions.extend(onnx.parser.parse_function(text) for text in functions)
    weights = [type(tensor).FromString(tensor.SerializeToString()) for tensor in model.graph.initializer]
    del model.graph.initializer[:]  # a message that goes to another language ends at 2 GiB
    spelled = onnx.inliner.inline_local_functions(model)
    spelled.graph.initializer.extend(weights)
    for entry in [entry for entry in spelled.opset_import if entry.domain == domain]:
        spelled.opset_import.remove(entry)
    return spelled


def write_twin(source: Path, target: Path) -> None:
    """Write the twin of a file."""
    save_graph(twin_of(load_graph(source)), target)
