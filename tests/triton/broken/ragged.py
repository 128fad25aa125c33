"""Ragged ONNX models: flat inputs, what Triton adds beside them, and flat outputs."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto

from tests.triton.broken.changes import add, both, cut_message, edit, flat_graph, nothing
from tests.triton.good_models import ragged

LENGTHS, MARKS = 'target_name: "lengths"', 'target_name: "marks"'


def remove_added(folder: Path) -> None:
    """Leave out what Triton is to add beside the ragged input."""
    cut_message(folder, "batch_input")


def remove_scatter(folder: Path) -> None:
    """Leave out how Triton is to cut the flat output up."""
    cut_message(folder, "batch_output")


# Flat inputs, what Triton adds beside them, and flat outputs.
RAGGED = {
    "flat": (ragged, nothing),
    "flat_without_flag": (ragged, edit("  allow_ragged_batch: true\n", "")),
    "flat_of_one_length": (ragged, flat_graph(tokens=128)),
    "flat_optional": (ragged, edit("allow_ragged_batch: true", "allow_ragged_batch: true optional: true")),
    "flat_without_batch": (ragged, both(edit("max_batch_size: 4", ""), edit("dynamic_batching { }", ""))),
    "flat_without_batching": (ragged, edit("dynamic_batching { }", "")),
    "flat_of_two_axes": (ragged, edit("dims: [ -1 ]", "dims: [ -1, -1 ]")),
    "flat_of_another_type": (ragged, edit("TYPE_INT64", "TYPE_INT32")),
    "added_nothing": (ragged, remove_added),
    "added_typeless": (ragged, edit("  data_type: TYPE_INT32\n", "")),
    "added_as_int64": (ragged, edit("data_type: TYPE_INT32", "data_type: TYPE_INT64")),
    "added_as_float": (
        ragged,
        both(edit("data_type: TYPE_INT32", "data_type: TYPE_FP32"), flat_graph(length_type=TensorProto.FLOAT)),
    ),
    "added_two_at_once": (ragged, both(edit(LENGTHS, f'{LENGTHS} target_name: "more"'), flat_graph(more=["more"]))),
    "added_two_by_two": (
        ragged,
        both(
            add('batch_input { kind: BATCH_ITEM_SHAPE_FLATTEN target_name: "more" data_type: TYPE_INT32 '
                'source_input: "ids" }\n'),
            flat_graph(more=["more"]),
        ),
    ),
    "added_shapes": (
        ragged,
        both(edit("BATCH_ITEM_SHAPE_FLATTEN", "BATCH_ITEM_SHAPE"), flat_graph(length_shape=["items", 1])),
    ),
    "marks_without_scatter": (ragged, remove_scatter),
}  # fmt: skip
# They load, in Triton's own server as here, and requests fail.
FAILING = {
    "added_elsewhere": (ragged, edit(LENGTHS, 'target_name: "length"')),
    "added_nowhere": (ragged, edit(f"  {LENGTHS}\n", "")),
    "added_to_the_ids": (ragged, edit(LENGTHS, 'target_name: "ids"')),
    "added_one_too_many": (ragged, edit(LENGTHS, f'{LENGTHS} target_name: "more"')),
    "added_of_another_type": (ragged, flat_graph(length_type=TensorProto.INT64)),
    "added_of_no_float": (ragged, flat_graph(length_type=TensorProto.FLOAT)),
    "added_of_lower_rank": (ragged, flat_graph(length_shape=["items", 1])),
    "added_of_higher_rank": (ragged, edit("BATCH_ITEM_SHAPE_FLATTEN", "BATCH_ITEM_SHAPE")),
}
# They load, and requests are answered wrongly, of one item too or only of several.
WRONG = {
    "marks_as_items": (ragged, both(remove_scatter, edit("dims: [ -1, 2 ]", "dims: [ 2 ]"))),
    "marks_as_scattered_items": (ragged, edit("dims: [ -1, 2 ]", "dims: [ 2 ]")),
    "marks_too_wide": (ragged, edit("dims: [ -1, 2 ]", "dims: [ -1, 3 ]")),
    "marks_too_narrow": (ragged, edit("dims: [ -1, 2 ]", "dims: [ -1, 1 ]")),
    "counts_of_requests": (ragged, edit("BATCH_ITEM_SHAPE_FLATTEN", "BATCH_ELEMENT_COUNT")),
    "counts_of_no_kind": (ragged, edit("  kind: BATCH_ITEM_SHAPE_FLATTEN\n", "")),
    "counts_summed_up": (ragged, edit("BATCH_ITEM_SHAPE_FLATTEN", "BATCH_ACCUMULATED_ELEMENT_COUNT")),
}
