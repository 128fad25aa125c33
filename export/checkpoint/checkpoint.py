"""A fine-tuned checkpoint: what it is for, what it takes and how long a text it can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tbgen.backends.zero_shot_classification import entailment_of
from tbgen.export.checkpoint.config import config_from_folder, own_labels
from tbgen.export.checkpoint.explanation import AS_NAMED, task_explanation, task_source
from tbgen.export.checkpoint.lookalikes import cure, refuse_lookalike
from tbgen.export.errors import UserError, require
from tbgen.export.families import inputs_of, is_endless, positions_of
from tbgen.export.files import sha256
from tbgen.export.reading import is_there, read_json
from tbgen.export.sentence.folder import Sentence, sentence_from_folder
from tbgen.export.tasks.model_kind import SPANS, ModelKind
from tbgen.export.tasks.table import TASKS, graph_of, model_of, task_named, task_of_architecture
from tbgen.export.tokenizers.tokenizer import TYPES, TokenizerReading, check_tokenizer, reading_of_tokenizer
from tbgen.export.values import FILE_NAME, check_values, object_of

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_POSITIONS = 512  # where nothing says how long a text may be


@dataclass(frozen=True)
class ModelReading:
    """What the files of a folder say of a model: its config.json, its tokenizer's, and those of sentence-transformers.

    `labels` are the classes in the order of the logits, empty for tasks without classes. `max_length` is the longest
    text in tokens, special tokens included. `problem` says what the classes mean: single_label_classification,
    multi_label_classification or regression. `tokenizer` is the reading of the tokenizer's files. `sentence` is what
    sentence-transformers does after the model. `explanation` says what it is taken for, and what told so.
    """

    config: dict[str, Any]
    task: str
    labels: tuple[str, ...]
    max_length: int
    problem: str
    tokenizer: TokenizerReading
    sentence: Sentence | None
    explanation: str

    @property
    def sentence_record(self) -> dict[str, Any]:
        """`sentence` as an export keeps it."""
        return self.sentence.record() if self.sentence else {}

    @property
    def row(self) -> ModelKind:
        """What its graph gives."""
        return graph_of(self.task, self.sentence_record)


@dataclass(frozen=True)
class Checkpoint(ModelReading):
    """A checkpoint on this machine's disk.

    `folder` holds the tokenizer, and the weights unless `state` names the file of a state dict. `inputs` are the
    tensors that the model takes, in ONNX order. `root` is the folder that was named, which `folder` may lie in; None
    for a state dict. `origin` is the hub's name and revision, where it came from there.
    """

    folder: Path
    inputs: tuple[str, ...]
    state: Path | None = None
    root: Path | None = None
    origin: dict[str, str] = field(default_factory=dict)

    @property
    def pooled(self) -> bool:
        """Whether its graph gives vectors of texts, by the modules of sentence-transformers behind the model."""
        return self.sentence is not None and self.sentence.pooled

    def width(self, hidden: int) -> int:
        """How many numbers a vector has that leaves the graph of a model of so many hidden ones."""
        return self.sentence.width(hidden) if self.sentence else hidden

    def weights(self) -> list[Path]:
        """The files that hold the weights."""
        return [self.state] if self.state else _weight_files(self.folder, self.config)

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
    _weight_files(folder, config)
    check_tokenizer(folder)
    return checkpoint_of(
        folder,
        config,
        task=task or (sentence.task if sentence else None),
        labels=labels,
        told_by=AS_NAMED if task else task_source(sentence),
        sentence=sentence,
        root=root,
        origin=origin or {},
    )


def _weight_files(folder: Path, config: dict[str, Any]) -> list[Path]:
    """The files of a folder's weights: one, or the shards that an index names. Raises UserError for missing ones."""
    names = [config["transformers_weights"]] if "transformers_weights" in config else WEIGHTS
    first = next((folder / name for name in names if is_there(folder / name)), None)
    if first is None:
        raise UserError(f"no weights in {str(folder)!r}; " + cure(folder, f"looked for {', '.join(names)}"))
    if first.suffix != ".json":
        return [first]
    index = read_json(folder, first.name, "")
    check_values(index, {"weight_map": object_of(FILE_NAME)}, repr(str(first)))
    shards = sorted(set(index.get("weight_map", {}).values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing or not shards:
        raise UserError(f"{str(first)!r} names {', '.join(missing) or 'no files'}; the weights are not all there")
    return [folder / name for name in shards]


def model_reading(
    folder: Path,
    config: dict[str, Any],
    *,
    task: str,
    labels: tuple[str, ...],
    sentence: Sentence | None,
    positions: int | None,
    told_by: str,
    architecture: str,
) -> ModelReading:
    """What a folder says of a model whose `config`, `task` and `labels` are known. Raises UserError.

    `positions` are those that the model has, if known. `told_by` says what told the task, `architecture` of which class
    the head is.
    """
    sentence = sentence if sentence and sentence.serves(task) else None
    tokenizer = reading_of_tokenizer(folder, config, lower_case=sentence is not None and sentence.reading.lower_case)
    _refuse_other_order(task, tokenizer)
    problem = _problem_of(config)
    return ModelReading(
        config=config,
        task=task,
        labels=labels,
        max_length=_longest_text(config, positions, tokenizer, sentence),
        problem=problem,
        tokenizer=tokenizer,
        sentence=sentence,
        explanation=task_explanation(task, told_by, architecture, labels, problem),
    )


def _longest_text(
    config: dict[str, Any], positions: int | None, tokenizer: TokenizerReading, sentence: Sentence | None
) -> int:
    """The longest text in tokens; what sentence-transformers says counts also where the tokenizer's is smaller."""
    said = sentence.max_length if sentence else tokenizer.max_length
    if said and is_endless(config):
        return said
    return min((limit for limit in (positions, said or tokenizer.max_length) if limit), default=_POSITIONS)


def checkpoint_of(
    folder: Path,
    config: dict[str, Any],
    *,
    task: str | None,
    labels: Sequence[str] | None,
    told_by: str,
    sentence: Sentence | None = None,
    architecture: str | None = None,
    **places: Any,
) -> Checkpoint:
    """A checkpoint from its parts; everything that its config decides is decided here. Raises UserError.

    `told_by` and `architecture`, where `config` no longer says it, as in `model_reading`; `places` as in Checkpoint.
    """
    task, own = checked_task(config, task), architecture or architecture_of(config)
    reading = model_reading(
        folder,
        config,
        task=task,
        labels=checked_labels(config, task, labels),
        sentence=sentence,
        positions=positions_of(config),
        told_by=told_by,
        architecture=own,
    )
    task_named(task).check_labels(reading.labels or own_labels(config))
    inputs = tuple(name for name in inputs_of(config) if reading.tokenizer.types or name != TYPES)
    said = reading.explanation + _foreign_class(own, config["model_type"], task)
    return Checkpoint(**{**vars(reading), "explanation": said}, folder=folder, inputs=inputs, **places)


def architecture_of(config: dict[str, Any]) -> str:
    """The class that a config.json names; empty where it names none."""
    return next(iter(config.get("architectures") or []), "")


def _foreign_class(architecture: str, family: str, task: str) -> str:
    """A clause on a class of somebody's own, whose computations transformers does not know."""
    wanted = model_of(task).architecture
    names = require("transformers.models.auto.modeling_auto", extra="onnx").MODEL_MAPPING_NAMES
    ours = names[family].removesuffix("Model") + wanted
    if not architecture.endswith(wanted) or architecture in {ours, f"TF{ours}", f"Flax{ours}"}:
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
        heads = {name: row.model.architecture for name, row in TASKS.items() if row.model}
        have = [name for name, head in heads.items() if head == "Model" or architecture.endswith(head)]
        said = f"task {named!r} needs a checkpoint {wanted}, this one is {architecture}"
        raise UserError(f"{said}; it can do: {', '.join(have)}")
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
        _refuse_other_entailment(config, own)
    labels = tuple(named or own)
    if len(set(labels)) != len(labels):
        raise UserError(f"a label is there twice: {', '.join(labels)}")
    return labels


def _refuse_other_entailment(config: dict[str, Any], labels: Sequence[str]) -> None:
    """Raise UserError where label2id, by which transformers' pipeline finds the entailment, has it elsewhere."""
    by_name = {str(label): int(index) for label, index in config.get("label2id", {}).items()}
    theirs = next((index for label, index in by_name.items() if entailment_of([label]) == 0), -1)
    ours = entailment_of(labels)
    if by_name and ours >= 0 and theirs % len(labels) != ours:
        raise UserError(
            f"id2label of config.json has {labels[ours]!r} as class {ours}, label2id has it as {theirs}, by which the "
            "pipeline of transformers goes; name the classes with --label, in the order of the logits"
        )


def _refuse_other_order(task: str, tokenizer: TokenizerReading) -> None:
    """Raise UserError for questions that the pipeline of transformers 4 put behind their context."""
    if model_of(task) == SPANS and tokenizer.padding_side == "left":
        raise UserError(
            "the tokenizer pads at the left, for which transformers put the question behind its context; tbgen reads "
            "it before: where it was trained so, write padding_side: right in tokenizer_config.json"
        )


def _problem_of(config: dict[str, Any]) -> str:
    """What the classes mean. A lone one that is said to be no regression is right or wrong by itself, as each of many
    labels is: so the pipeline of transformers reads it.
    """
    named = config.get("problem_type")
    if len(own_labels(config)) == 1 and named != "regression":
        return "multi_label_classification"
    return named or "single_label_classification"
