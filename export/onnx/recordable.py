"""The file for GPUs as a model's own process runs it: nothing waits for the CPU, so its runs can become CUDA graphs.

The weights and layers of varlen.py; but tokens come without padding, and there is no mask. So there is little
arithmetic before the layers, and the GPU does all of it.
"""

from __future__ import annotations

from pathlib import Path

from tbgen.export.errors import require
from tbgen.export.layout import LENGTHS
from tbgen.export.onnx.graph_file import load_graph, opset_of, save_graph
from tbgen.export.onnx.twin import inline_functions
from tbgen.export.onnx.varlen import CUMULATIVE, FIRST, IDS, OFFSET, POSITIONS, TYPES_OF_TOKENS
from tbgen.export.onnx.varlen_fusion import UNCOUNTED, drop_unread
from tbgen.export.tokenizers.tokenizer import TYPES

_DOMAIN = "flat"
_BODY = """
<domain: "flat", opset_import: ["": OPSET]>
Flat <longest, uncounted>(ids, types, lengths) => (first, cumulative, token_offset, positions, real_ids, real_types)
{
    axis = Constant <value_int = 0> ()
    step = Constant <value_int = 1> ()
    none = Constant <value = int32[1] {0}> ()
    zero = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    last = Constant <value = int64[1] {-1}> ()
    end = Constant <value = int64[1] {9223372036854775807}> ()
    real_ids = Identity (ids)
    real_types = Identity (types)
    ends = CumSum (lengths, axis)
    starts = Sub (ends, lengths)
    first = Cast <to = 7> (starts)
    cumulative = Concat <axis = 0> (none, ends)
    COUNTED
    sums = CumSum (counted, axis)
    before_each = Sub (sums, counted)
    before = Gather (before_each, starts)
    but_last = Slice (before, zero, last)
    shifted = Concat <axis = 0> (none, but_last)
    of_row = Sub (before, shifted)
    first_counts = Gather (counted, starts)
    anew = Sub (first_counts, of_row)
    steps = ScatterElements <axis = 0> (counted, first, anew)
    in_row = CumSum (steps, axis)
    POSITIONS
    positions = Cast <to = 7> (places)
    width = Constant <value_int: int = @longest> ()
    shape = Shape (lengths)
    rows = Squeeze (shape)
    numbers = Range (axis, rows, step)
    bases = Mul (numbers, width)
    base = Unsqueeze (bases, one)
    columns = Range (axis, width, step)
    grid = Add (base, columns)
    long_ends = Cast <to = 7> (ends)
    begin_of = Unsqueeze (first, one)
    end_of = Unsqueeze (long_ends, one)
    tokens = Add (begin_of, columns)
    inside = Less (tokens, end_of)
    total = Slice (long_ends, last, end)
    missing = Sub (total, end_of)
    behind = Add (grid, missing)
    order = Where (inside, tokens, behind)
    flat_grid = Reshape (grid, last)
    flat_order = Reshape (order, last)
    placed = ScatterElements <axis = 0> (flat_grid, flat_order, flat_grid)
    grid_shape = Shape (grid)
    offsets = Reshape (placed, grid_shape)
    token_offset = Cast <to = 6> (offsets)
}
"""
_COLUMNS = (
    """
    count = Shape (ids)
    each = Constant <value = int32[1] {1}> ()
    counted = Expand (each, count)
""",
    "places = Sub (in_row, each)",
)
_COUNTED = (
    """
    pad = Constant <value_int: int = @uncounted> ()
    is_pad = Equal (ids, pad)
    is_token = Not (is_pad)
    counted = Cast <to = 6> (is_token)
""",
    """
    of_tokens = Mul (in_row, counted)
    short_pad = Cast <to = 6> (pad)
    places = Add (of_tokens, short_pad)
""",
)


def write_recordable(source: Path, target: Path, *, longest: int) -> bool:
    """Write a file for GPUs so, for texts of at most `longest` tokens.

    False, and nothing is written, for any other file, and for one that gives numbers along the tokens.
    """
    onnx = require("onnx", extra="onnx")
    model = load_graph(source)
    graph = model.graph
    made = [FIRST, CUMULATIVE, OFFSET, POSITIONS, IDS, TYPES_OF_TOKENS]
    names = {name for node in graph.node for name in node.output}
    if not names >= {FIRST, CUMULATIVE, OFFSET, POSITIONS, IDS} or not any(FIRST in node.input for node in graph.node):
        return False
    for node in [node for node in graph.node if {*made} & {*node.output}]:
        graph.node.remove(node)
    for entry in [entry for entry in graph.input if entry.name == "attention_mask"]:
        graph.input.remove(entry)
    drop_unread(graph)
    inputs = {entry.name for entry in graph.input}
    uncounted = {entry.key: entry.value for entry in model.metadata_props}.get(UNCOUNTED)
    counted, positions = _COLUMNS if uncounted is None else _COUNTED
    text = _BODY.replace("OPSET", str(opset_of(model))).replace("COUNTED", counted).replace("POSITIONS", positions)
    prelude = onnx.helper.make_node(
        "Flat",
        ["input_ids", TYPES if TYPES in inputs else "input_ids", LENGTHS],
        made,
        domain=_DOMAIN,
        longest=longest,
        uncounted=int(uncounted or 0),
    )
    graph.node.insert(0, prelude)
    model = inline_functions(model, _DOMAIN, [text])
    drop_unread(model.graph)
    save_graph(model, target)
    return True
