"""What lies beside a ready engine file: its tokenizer, and what a config.json or a person says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.checkpoint import (
    ModelReading,
    architecture_of,
    checked_labels,
    checked_task,
    model_reading,
)
from tbgen.export.checkpoint.config import checked_config
from tbgen.export.checkpoint.explanation import AS_NAMED, task_source
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.families import FAMILIES, positions_of
from tbgen.export.files import write_json
from tbgen.export.layout import TOKENIZER_JSON
from tbgen.export.reading import read_json_if_there
from tbgen.export.sentence.folder import sentence_from_folder
from tbgen.export.tasks.table import model_of
from tbgen.export.tokenizers.tokenizer import TYPES, write_tokenizer

_POOLED = {"pooling": "none", "pooled": True, "normalize": False, "prompts": {}, "prompt": None}


def companions_from_folder(
    folder: Path, *, task: str | None = None, labels: Sequence[str] | None = None
) -> ModelReading:
    """Read what lies beside a ready engine file; `task` and `labels` are as config.json says unless named.

    Without a config.json both must be named. Raises UserError.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r}; --tokenizer names the one with tokenizer.json and config.json")
    sentence = sentence_from_folder(folder)
    place = sentence.transformer if sentence else folder
    config = read_json_if_there(place, "config.json")
    config = checked_config(config) if config else {}
    told_by = AS_NAMED if task else task_source(sentence)
    task = task or (sentence.task if sentence else None)
    if not config and (task is None or (model_of(task).width == "labels" and not labels)):
        raise UserError(
            f"no config.json in {str(place)!r}; put the model's own beside the tokenizer, or say what it would: "
            "--task, and --label once per class"
        )
    if labels:
        config["id2label"] = {str(index): label for index, label in enumerate(labels)}
    task = task if task and model_of(task) else checked_task(config, None)  # the graph itself will be tried
    return model_reading(
        place,
        config,
        task=task,
        labels=checked_labels(config, task, None),
        sentence=sentence,
        positions=positions(config),
        told_by=told_by,
        architecture=architecture_of(config),
    )


def positions(config: dict[str, Any]) -> int | None:
    """How many tokens a model can place, if its config.json says so; it may be of any family. Raises UserError."""
    rows: int | None = config.get("max_position_embeddings")
    return positions_of(config) if rows and config.get("model_type") in FAMILIES else rows


def write_companions(beside: ModelReading, folder: Path) -> None:
    """Write tokenizer.json and config.json into an export's folder."""
    write_tokenizer(beside.tokenizer, folder)
    if beside.config:
        write_json(folder / "config.json", beside.config)


def ready_export(
    beside: ModelReading,
    model: Path,
    *,
    inputs: dict[str, TensorSpec],
    outputs: dict[str, TensorSpec],
    asked_length: int | None,
    shown: str,
) -> Exported:
    """An engine file with its companions, which lie written beside it; not yet tried, its making not yet said.

    `asked_length` pads every text to that many tokens. Raises UserError for a file of another fixed length.
    """
    own = inputs["input_ids"].shape[1]
    fixed = own if isinstance(own, int) else None
    if fixed and asked_length and fixed != asked_length:
        raise UserError(f"{shown!r} has a fixed length of {fixed} tokens, {asked_length} were asked for")
    pooled = beside.row.width == "hidden" and all(len(spec.shape) == 2 for spec in outputs.values())
    length = fixed or asked_length
    untyped = {"token_types": False} if TYPES in inputs and not beside.tokenizer.types else {}
    return Exported(
        folder=model.parent,
        model=model,
        weights=None,
        tokenizer=model.with_name(TOKENIZER_JSON),
        task=beside.task,
        labels=beside.labels,
        problem=beside.problem,
        max_length=length or beside.max_length,
        fixed_length=length,
        inputs=inputs,
        outputs=outputs,
        special=dict(beside.tokenizer.special),
        sentence={**_POOLED, **beside.sentence_record, "pooled": True} if pooled else beside.sentence_record,
        reading={**beside.tokenizer.settings, **untyped},
    )
