"""A fine-tuned checkpoint as it lies in a folder: what it is for, what it takes and how long a text it can read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.tasks import TASKS, inputs_of, positions_of, task_named, task_of_architecture

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in a local folder.

    `labels` are the classes in the order of the logits, empty for tasks without classes. `max_length` is the longest
    text in tokens, special tokens included. `inputs` are the tensors that the model takes, in ONNX order.
    `problem` says what the classes mean: single_label_classification, multi_label_classification or regression.
    """

    folder: Path
    config: dict[str, Any]
    task: str
    labels: tuple[str, ...]
    max_length: int
    inputs: tuple[str, ...]
    problem: str

    def weights(self) -> list[Path]:
        """The files that hold the weights: one, or the shards that an index names."""
        first = next(self.folder / name for name in WEIGHTS if (self.folder / name).is_file())
        if first.suffix != ".json":
            return [first]
        shards = json.loads(first.read_text(encoding="utf-8"))["weight_map"].values()
        return [self.folder / name for name in sorted(set(shards))]


def checkpoint_from_folder(folder: Path, *, task: str | None = None, labels: Sequence[str] | None = None) -> Checkpoint:
    """Read a checkpoint's folder: config.json, tokenizer.json and weights, as transformers saves them.

    `task` and `labels` are read from config.json unless named. Raises UserError for whatever is missing.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r}; --source names the folder of a checkpoint")
    config = read_json(
        folder, "config.json", "a checkpoint's folder has one; save it with model.save_pretrained(folder)"
    )
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise UserError(f"no tokenizer.json in {str(folder)!r}; save it there with tokenizer.save_pretrained(folder)")
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise UserError(f"no weights in {str(folder)!r}; looked for {', '.join(WEIGHTS)}")
    task = checked_task(config, task)
    return Checkpoint(
        folder=folder,
        config=config,
        task=task,
        labels=checked_labels(config, task, labels),
        max_length=min(positions_of(config), tokenizer_length(folder)),
        inputs=inputs_of(config),
        problem=problem_of(config),
    )


def read_json(folder: Path, name: str, cure: str) -> dict[str, Any]:
    """A JSON object of a folder. Raises UserError with `cure` when it is not there."""
    path = folder / name
    if not path.is_file():
        raise UserError(f"no {name} in {str(folder)!r}; {cure}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{str(path)!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{str(path)!r} holds no JSON object")
    return value


def checked_task(config: dict[str, Any], named: str | None) -> str:
    """The task of a config.json, or the named one where the checkpoint's head can do it. Raises UserError."""
    architecture = next(iter(config.get("architectures") or []), "")
    if named is None:
        found = task_of_architecture(architecture)
        if found is None:
            raise UserError(
                f"config.json names no architecture of a known task ({architecture!r}); "
                f"name it with --task: {', '.join(TASKS)}"
            )
        return found
    wanted = task_named(named).architecture
    # Every checkpoint with a head holds the encoder below it, so hidden states can always be had.
    if architecture and wanted != "Model" and not architecture.endswith(wanted):
        have = [name for name, row in TASKS.items() if architecture.endswith(row.architecture)]
        raise UserError(
            f"task {named!r} needs a checkpoint {wanted}, this one is {architecture}; "
            f"it can do: {', '.join(have) or 'embedding'}"
        )
    return named


def checked_labels(config: dict[str, Any], task: str, named: Sequence[str] | None) -> tuple[str, ...]:
    """The classes in the order of the logits, from id2label or as named. Raises UserError when the counts differ."""
    if task_named(task).width != "labels":
        if named:
            raise UserError(f"task {task!r} has no labels, {len(named)} were named")
        return ()
    id2label = {int(index): str(label) for index, label in config.get("id2label", {0: "LABEL_0", 1: "LABEL_1"}).items()}
    if sorted(id2label) != list(range(len(id2label))):
        raise UserError(f"id2label of config.json has the numbers {sorted(id2label)}, not 0 to {len(id2label) - 1}")
    own = tuple(id2label[index] for index in range(len(id2label)))
    if named and len(named) != len(own):
        raise UserError(
            f"{len(named)} labels were named ({', '.join(named)}), the checkpoint has {len(own)} ({', '.join(own)})"
        )
    labels = tuple(named or own)
    if len(set(labels)) != len(labels):
        raise UserError(f"a label is there twice: {', '.join(labels)}")
    return labels


def problem_of(config: dict[str, Any]) -> str:
    """What the classes mean; transformers, too, takes one lone class for a regression."""
    alone = len(config.get("id2label", {0: "", 1: ""})) == 1
    return config.get("problem_type") or ("regression" if alone else "single_label_classification")


def tokenizer_length(folder: Path) -> int:
    """The tokenizer's own limit, in tokens; transformers writes 1e30 where there is none."""
    path = folder / "tokenizer_config.json"
    limit = read_json(folder, path.name, "").get("model_max_length") if path.is_file() else None
    return int(limit or 1e30)
