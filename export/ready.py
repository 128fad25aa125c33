"""A ready ONNX file with a tokenizer folder beside it: believed only after it was read and tried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.checkpoint import checked_labels, checked_task, problem_of
from tbgen.export.errors import UserError, require
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.files import read_json, sha256
from tbgen.export.onnx import opset_of, tensor_specs
from tbgen.export.run import Run, first_line, onnx_run, runtime_errors
from tbgen.export.tasks import positions_of, task_named
from tbgen.export.tokenizer import special_ids, tokenizer_length

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def exported_from_onnx(
    model: Path,
    tokenizer_folder: Path,
    *,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    max_length: int | None = None,
) -> Exported:
    """Describe `model`, made elsewhere, with the tokenizer.json and config.json of `tokenizer_folder`.

    `task` and `labels` are as config.json says unless named; `max_length` is the longest text to be served, in tokens.
    Raises UserError when the file is damaged, or does not fit the task, the labels, the tokenizer or the length.
    """
    config = read_json(tokenizer_folder, "config.json", "put the model's own beside the tokenizer")
    if not (tokenizer_folder / "tokenizer.json").is_file():
        raise UserError(
            f"no tokenizer.json in {str(tokenizer_folder)!r}; save it there with tokenizer.save_pretrained(folder)"
        )
    graph = read_graph(model)
    inputs, outputs = tensor_specs(graph.graph.input), tensor_specs(graph.graph.output)
    task = checked_task(config, task)
    check_names(model, task, inputs, outputs)
    named = dict(zip(map(str, range(len(labels))), labels, strict=True)) if labels else config.get("id2label")
    config = {**config, **({"id2label": named} if named else {})}
    fixed = inputs["input_ids"].shape[1]
    fixed_length = fixed if isinstance(fixed, int) else None
    exported = Exported(
        folder=model.parent,
        model=model,
        weights=weights_of(graph, model),
        tokenizer=tokenizer_folder / "tokenizer.json",
        task=task,
        labels=checked_labels(config, task, None),
        problem=problem_of(config),
        max_length=max_length
        or fixed_length
        or min(positions_of(config), tokenizer_length(tokenizer_folder) or positions_of(config)),
        fixed_length=fixed_length,
        inputs=inputs,
        outputs=outputs,
        special=special_ids(tokenizer_folder),
        made={"opset": opset_of(graph), "ir_version": graph.ir_version, "sha256": sha256(model)},
    )
    try_out(exported, onnx_run(model))
    return exported


def read_graph(model: Path) -> Any:
    """The parsed file, weights kept outside left there. Raises UserError for a damaged one."""
    onnx = require("onnx", extra="onnx")
    if not model.is_file():
        raise UserError(f"no ONNX file {str(model)!r}")
    try:
        graph = onnx.load(str(model), load_external_data=False)
        onnx.checker.check_model(str(model))
    except (
        onnx.onnx_cpp2py_export.checker.ValidationError,
        require("google.protobuf.message", extra="onnx").DecodeError,
    ) as error:
        raise UserError(f"{str(model)!r} is no whole ONNX file: {first_line(error)}") from error
    return graph


def weights_of(graph: Any, model: Path) -> Path | None:
    """The one file beside a model's that its weights lie in, if any. Raises UserError for several, or a missing one."""
    places = {
        entry.value for tensor in graph.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    if len(places) > 1:
        raise UserError(f"{str(model)!r} has its weights in {len(places)} files; save it with all of them in one")
    return model.parent / places.pop() if places else None


def check_names(model: Path, task: str, inputs: dict[str, TensorSpec], outputs: dict[str, TensorSpec]) -> None:
    """Raise UserError when the graph's tensors are not those that tokenizer and head know."""
    if not {"input_ids", "attention_mask"} <= set(inputs) <= set(INPUTS):
        raise UserError(
            f"{str(model)!r} takes {', '.join(inputs)}; "
            "it must take input_ids and attention_mask, and may take token_type_ids"
        )
    wanted = task_named(task).outputs
    if not set(wanted) <= set(outputs):
        raise UserError(
            f"{str(model)!r} gives {', '.join(outputs)}; task {task!r} needs {', '.join(wanted)}; "
            "rename them in the graph"
        )


def try_out(exported: Exported, run: Run) -> None:
    """Run the file on the tokenizer's last id, then on the longest text.

    ONNX Runtime names the bounds when an id or a position lies outside, which no look at the graph tells as surely.
    Raises UserError when it fails, or gives another width than there are labels.
    """
    largest = max(require("tokenizers", extra="onnx").Tokenizer.from_file(str(exported.tokenizer)).get_vocab().values())
    outputs = attempt(
        run,
        exported,
        largest,
        exported.fixed_length or 2,
        f"the tokenizer's last id {largest} (is its vocabulary larger than the embedding?)",
    )
    width = task_named(exported.task).width
    have = outputs["outputs"].shape[-1] if width == "labels" else len(exported.labels)
    if have != len(exported.labels):
        raise UserError(
            f"{str(exported.model)!r} gives {have} numbers a text, there are {len(exported.labels)} labels "
            f"({', '.join(exported.labels)}); name them with --label, once per class"
        )
    if exported.fixed_length not in {None, exported.max_length}:
        raise UserError(
            f"{str(exported.model)!r} has a fixed length of {exported.fixed_length} tokens, "
            f"{exported.max_length} were asked for"
        )
    attempt(
        run,
        exported,
        exported.special.get("unk", 1),
        exported.max_length,
        f"{exported.max_length} tokens (does it have fewer positions?)",
    )


def attempt(run: Run, exported: Exported, token: int, length: int, what: str) -> dict[str, np.ndarray]:
    """One text of `length` times the same token. Raises UserError with ONNX Runtime's words."""
    onnxruntime = require("onnxruntime", extra="onnx")
    values = {"input_ids": token, "attention_mask": 1, "token_type_ids": 0}
    try:
        return run(
            {name: np.full((1, length), values[name], dtype=spec.dtype) for name, spec in exported.inputs.items()}
        )
    except runtime_errors(onnxruntime) as error:
        raise UserError(f"{str(exported.model)!r} fails on {what}: {first_line(error)}") from error
