"""A fine-tuned checkpoint: what it is for, what it takes and how long a text it can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.chosen import chosen, head_of
from tbgen.export.checkpoint.config import NAMES, config_from_folder, own_labels
from tbgen.export.checkpoint.lookalikes import cure, refuse_lookalike
from tbgen.export.errors import UserError
from tbgen.export.families import inputs_of, positions_of
from tbgen.export.files import read_json, sha256
from tbgen.export.sentence.folder import Sentence, sentence_from_folder
from tbgen.export.tasks.model_kind import ModelKind
from tbgen.export.tasks.table import TASKS, graph_of, model_of, task_of_architecture
from tbgen.export.tokenizers.tokenizer import TYPES, TokenizerReading, check_tokenizer, reading_of_tokenizer

AS_NAMED = "as named"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine's disk.

    `folder` holds the tokenizer, whose reading `tokenizer` is, and the weights unless `state` names the file of a state
    dict. `labels` are the classes in the order of the logits, empty for tasks without classes. `max_length` is the
    longest text in tokens, special tokens included. `inputs` are the tensors that the model takes, in ONNX order.
    `problem` says what the classes mean: single_label_classification, multi_label_classification or regression.
    `sentence` is what sentence-transformers does after the model. `root` is the folder that was named, which `folder`
    may lie in; None for a state dict. `origin` is the hub's name and revision, where it came from there. `chosen` says
    what it was taken for, and what told so.
    """

    folder: Path
    config: dict[str, Any]
    task: str
    labels: tuple[str, ...]
    max_length: int
    inputs: tuple[str, ...]
    problem: str
    tokenizer: TokenizerReading
    state: Path | None = None
    sentence: Sentence | None = None
    root: Path | None = None
    origin: dict[str, str] = field(default_factory=dict)
    chosen: str = ""

    @property
    def row(self) -> ModelKind:
        """What its graph gives."""
        return graph_of(self.task, self.sentence.record() if self.sentence else {})

    @property
    def pooled(self) -> bool:
        """Whether its graph gives vectors of texts, by the modules of sentence-transformers behind the model."""
        return self.sentence is not None and self.sentence.pooled

    def width(self, hidden: int) -> int:
        """How many numbers a vector has that leaves the graph of a model of so many hidden ones."""
        return self.sentence.width(hidden) if self.sentence else hidden

    def weights(self) -> list[Path]:
        """The files that hold the weights."""
        return [self.state] if self.state else weight_files(self.folder)

    @cached_property
    def source(self) -> dict[str, str]:
        """What identifies it: the SHA-256 of each file of weights, by name; read once."""
        return {file.name: sha256(file) for file in self.weights()}


def checkpoint_from_folder(
    folder: Path, *, task: str | None = None, labels: Sequence[str] | None = None, origin: dict[str, str] | None = None
) -> Checkpoint:
    """Read a checkpoint's folder, as transformers or sentence-transformers save it: config.json, tokenizer and weights.

    `task` and `labels` are read from config.json unless named. Raises UserError for whatever is missing.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r}; --source names the folder of a checkpoint")
    refuse_lookalike(folder, task)
    root, sentence = folder, sentence_from_folder(folder)
    folder = sentence.transformer if sentence else folder
    refuse_lookalike(folder, task or (sentence.task if sentence else None))
    config = config_from_folder(folder)
    weight_files(folder)
    check_tokenizer(folder)
    told_by = told(task, sentence)
    task = task or (sentence.task if sentence else None)
    return checkpoint_of(
        folder,
        config,
        task=task,
        labels=labels,
        sentence=sentence,
        root=root,
        origin=origin or {},
        told_by=told_by,
    )


def told(named: str | None, sentence: Sentence | None) -> str:
    """What tells a checkpoint's task: a person, or the key of a file."""
    if named:
        return AS_NAMED
    if sentence is None:
        return "from architectures in config.json"
    bare = "" if sentence.whole or sentence.said_in == "config.json" else " without modules.json, so without prompts,"
    return f"from {sentence.said_in}, a {sentence.kind} of sentence-transformers{bare} whose {head_of(sentence)}"


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder's weights: one, or the shards that an index names. Raises UserError for missing ones."""
    first = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if first is None:
        raise UserError(f"no weights in {str(folder)!r}; " + cure(folder, f"looked for {', '.join(WEIGHTS)}"))
    if first.suffix != ".json":
        return [first]
    shards = sorted(set(read_json(folder, first.name, "").get("weight_map", {}).values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing or not shards:
        raise UserError(f"{str(first)!r} names {', '.join(missing) or 'no files'}; the weights are not all there")
    return [folder / name for name in shards]


def checkpoint_of(
    folder: Path,
    config: dict[str, Any],
    *,
    task: str | None,
    labels: Sequence[str] | None,
    sentence: Sentence | None = None,
    state: Path | None = None,
    root: Path | None = None,
    origin: dict[str, str] | None = None,
    told_by: str,
    architecture: str | None = None,
) -> Checkpoint:
    """A checkpoint from its parts; everything that its config decides is decided here. Raises UserError.

    `told_by` says what told the task, `architecture` of which class the head is, where `config` no longer does.
    """
    task = checked_task(config, task)
    labels = checked_labels(config, task, labels)
    own = architecture or architecture_of(config)
    sentence = sentence if sentence and sentence.serves(task) else None
    tokenizer = reading_of_tokenizer(folder, config, lower_case=sentence is not None and sentence.reading.lower_case)
    longest = sentence.max_length if sentence else None  # it counts also where the tokenizer's is smaller
    limits = [positions_of(config), longest or tokenizer.max_length]
    return Checkpoint(
        folder=folder,
        config=config,
        task=task,
        labels=labels,
        max_length=min(limit for limit in limits if limit),
        inputs=tuple(name for name in inputs_of(config) if tokenizer.types or name != TYPES),
        problem=problem_of(config),
        tokenizer=tokenizer,
        state=state,
        sentence=sentence,
        root=root,
        origin=origin or {},
        chosen=chosen(task, told_by, own, labels, problem_of(config), named=told_by == AS_NAMED)
        + read_as(own, config["model_type"], task),
    )


def architecture_of(config: dict[str, Any]) -> str:
    """The class that a config.json names; empty where it names none."""
    return next(iter(config.get("architectures") or []), "")


def read_as(architecture: str, family: str, task: str) -> str:
    """A clause on a class of somebody's own, whose computations transformers does not know."""
    ours = NAMES[family] + model_of(task).architecture
    if not architecture.endswith(model_of(task).architecture) or architecture in {ours, f"TF{ours}", f"Flax{ours}"}:
        return ""
    return f"; {architecture} is read as transformers' {ours}"


def checked_task(config: dict[str, Any], named: str | None) -> str:
    """The task of a config.json, or the named one where the checkpoint's head can do it. Raises UserError."""
    architecture = architecture_of(config)
    if named is None:
        found = task_of_architecture(architecture)
        if found is None:
            raise UserError(
                f"config.json names no architecture of a known task ({architecture!r}); "
                f"name it with --task: {', '.join(TASKS)}"
            )
        return found
    wanted = model_of(named).architecture
    # Every checkpoint with a head holds the encoder below it, so hidden states can always be had.
    if architecture and wanted != "Model" and not architecture.endswith(wanted):
        have = [name for name, row in TASKS.items() if row.model and architecture.endswith(row.model.architecture)]
        raise UserError(
            f"task {named!r} needs a checkpoint {wanted}, this one is {architecture}; "
            f"it can do: {', '.join(have) or 'embedding'}"
        )
    return named


def checked_labels(config: dict[str, Any], task: str, named: Sequence[str] | None) -> tuple[str, ...]:
    """The classes in the order of the logits, from id2label or as named. Raises UserError when the counts differ."""
    if model_of(task).width != "labels":
        if named:
            raise UserError(f"task {task!r} has no labels, {len(named)} were named")
        return ()
    own = own_labels(config)
    if named and len(named) != len(own):
        raise UserError(
            f"{len(named)} labels were named ({', '.join(named)}), the checkpoint has {len(own)} ({', '.join(own)})"
        )
    if task == "zero-shot-classification" and not named:
        refuse_other_entailment(config, own)
    labels = tuple(named or own)
    if len(set(labels)) != len(labels):
        raise UserError(f"a label is there twice: {', '.join(labels)}")
    return labels


def refuse_other_entailment(config: dict[str, Any], labels: Sequence[str]) -> None:
    """Raise UserError where label2id, by which transformers' pipeline finds the entailment, has it elsewhere."""
    by_name = {str(label): int(index) for label, index in config.get("label2id", {}).items()}
    theirs = next((index for label, index in by_name.items() if label.lower().startswith("entail")), -1)
    ours = next((index for index, label in enumerate(labels) if label.lower().startswith("entail")), None)
    if by_name and ours is not None and theirs % len(labels) != ours:
        raise UserError(
            f"id2label of config.json has {labels[ours]!r} as class {ours}, label2id has it as {theirs}, by which the "
            "pipeline of transformers goes; name the classes with --label, in the order of the logits"
        )


def problem_of(config: dict[str, Any]) -> str:
    """What the classes mean. A lone one that is said to be no regression is right or wrong by itself, as each of many
    labels is: so the pipeline of transformers reads it.
    """
    named = config.get("problem_type")
    if len(own_labels(config)) == 1 and named != "regression":
        return "multi_label_classification"
    return named or "single_label_classification"
