"""A ready engine file is run before it is believed: on the tokenizer's last id, and on the longest text."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.run import Run, Tensors, first_line
from tbgen.export.tasks.table import graph_of_export
from tbgen.export.tokenizers.tokenizer import tokenizer_from_file


def try_out(exported: Exported, run: Run, shown: str, errors: tuple[type[Exception], ...] = ()) -> dict[str, int]:
    """Run it twice, and give the width of each output that has one, by name; `errors` are what `run` fails with.

    ONNX Runtime names the bounds when an id or a position lies outside, which no look at the graph tells as surely.
    Raises UserError when it fails, or gives another shape than the task has, or another width than there are labels.
    """
    largest = _last_id(exported)
    own = exported.inputs["input_ids"].shape[1]
    shortest = own if isinstance(own, int) else 2
    outputs = _attempt(
        run,
        exported,
        (largest, shortest),
        errors,
        f"{shown!r} fails on the tokenizer's last id {largest} (is its vocabulary larger than the embedding?)",
    )
    _check_shapes(exported, outputs, shown)
    _attempt(
        run,
        exported,
        (_ordinary_id(exported), exported.max_length),
        errors,
        f"{shown!r} fails on {exported.max_length} tokens (does it have fewer positions?)",
    )
    return {name: output.shape[-1] for name, output in outputs.items() if graph_of_export(exported).width != "sequence"}


def _last_id(exported: Exported) -> int:
    """The largest id that the tokenizer gives."""
    return max(_vocabulary_ids(exported))


def _ordinary_id(exported: Exported) -> int:
    """The largest id of an ordinary token, which takes a position in every family; padding takes none in some."""
    ids = _vocabulary_ids(exported)
    return max(ids - set(exported.special.values()), default=max(ids))


def _vocabulary_ids(exported: Exported) -> set[int]:
    """All ids that the tokenizer gives."""
    return set(tokenizer_from_file(exported.tokenizer).get_vocab().values())


def _check_shapes(exported: Exported, outputs: Tensors, shown: str) -> None:
    """Raise UserError when outputs are not as the task has them."""
    row = graph_of_export(exported)
    rank = 3 if row.per_token and row.width != "sequence" else 2
    for name in row.outputs:
        if outputs[name].ndim != rank:
            what = "(texts, tokens, numbers)" if rank == 3 else "(texts, numbers)"
            raise UserError(
                f"{shown!r} gives {name} as {list(outputs[name].shape)} for one text; task {exported.task!r} needs "
                f"{what}: name the file's own task with --task"
            )
    have = outputs["outputs"].shape[-1] if row.width == "labels" else len(exported.labels)
    if have != len(exported.labels):
        raise UserError(
            f"{shown!r} gives {have} numbers a text, there are {len(exported.labels)} labels "
            f"({', '.join(exported.labels)}); name them with --label, once per class"
        )


def _attempt(
    run: Run, exported: Exported, text: tuple[int, int], errors: tuple[type[Exception], ...], failing: str
) -> Tensors:
    """Run one text of the same token, (its id, how often). Raises UserError: `failing`, and the engine's words."""
    token, length = text
    values: dict[str, Any] = {"input_ids": token, "attention_mask": 1, "token_type_ids": 0}
    inputs = {name: np.full((1, length), values[name], dtype=spec.dtype) for name, spec in exported.inputs.items()}
    try:
        return run(inputs)
    except errors as error:
        raise UserError(f"{failing}: {first_line(error)}") from error
