"""The tables of the export: what a task asks of a checkpoint, and what an encoder family takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from tbgen.export.errors import NoSuchName, UserError

PAD: Literal["pad_token_id"] = "pad_token_id"


@dataclass(frozen=True)
class Task:
    """What a task asks of a checkpoint.

    `architecture` ends the class name in config.json, `auto` loads it, `outputs` maps ONNX names to answer's fields.
    `width` is the kind of the outputs' last axis: labels, hidden, vocabulary, or sequence (one number per token).
    `pair`: its texts come in twos, such as a question and its context.
    """

    architecture: str
    auto: str
    outputs: dict[str, str]
    width: str
    per_token: bool = False
    pair: bool = False


CLASSES = Task("ForSequenceClassification", "AutoModelForSequenceClassification", {"outputs": "logits"}, "labels")
PAIRS = replace(CLASSES, pair=True)
HIDDEN = Task("Model", "AutoModel", {"outputs": "last_hidden_state"}, "hidden", per_token=True)
VOCABULARY = Task("ForMaskedLM", "AutoModelForMaskedLM", {"outputs": "logits"}, "vocabulary", per_token=True)
TOKENS = Task(
    "ForTokenClassification", "AutoModelForTokenClassification", {"outputs": "logits"}, "labels", per_token=True
)
SPANS = Task(
    "ForQuestionAnswering",
    "AutoModelForQuestionAnswering",
    {"start_logits": "start_logits", "end_logits": "end_logits"},
    "sequence",
    per_token=True,
    pair=True,
)

# The first task of an architecture is the one that its config.json stands for; the others are named by the user.
TASKS = {
    "text-classification": CLASSES,
    "rerank": PAIRS,
    "zero-shot-classification": PAIRS,
    "token-classification": TOKENS,
    "question-answering": SPANS,
    "fill-mask": VOCABULARY,
    "sparse-embedding": VOCABULARY,
    "embedding": HIDDEN,
    "similarity": HIDDEN,
}


def task_named(name: str) -> Task:
    """The row of a task. Raises NoSuchName with the table."""
    if name not in TASKS:
        raise NoSuchName("task", name, list(TASKS))
    return TASKS[name]


def row_of(task: str, sentence: dict[str, Any]) -> Task:
    """A task's row as a graph has it: one whose vectors are pooled already has no numbers per token, and what
    sentence-transformers trained on pairs reads pairs.
    """
    row = task_named(task)
    pooled, pair = sentence.get("pooled", False), sentence.get("pair", False)
    return replace(row, per_token=row.per_token and not pooled, pair=row.pair or pair)


def task_of_architecture(architecture: str) -> str | None:
    """The task that a class name of config.json stands for: BertForSequenceClassification -> text-classification."""
    return next((name for name, task in TASKS.items() if architecture.endswith(task.architecture)), None)


@dataclass(frozen=True)
class Family:
    """An encoder family of transformers, as its config's `model_type` names it.

    `uncounted`: the token id that has no position of its own (RoBERTa and its kin): the others of a row are counted
    from it + 1 on, and the rows of the position table up to it hold no token. PAD: the config's, a number: always that
    one. None: positions are the columns, whatever is there.
    `types`: it takes token_type_ids when its config has two types or more.
    `mask`: `additive`, it takes a ready (batch, 1, 1, sequence) mask; `own`, it makes its own from (batch, sequence).
    `encoder`: the attribute of its base model that holds the layers, where their attention can be replaced.
    `attended`: the module of one of the encoder's layers, behind which only the feed-forward part is left; none where
    layers share their weights (ALBERT).
    """

    types: bool = False
    uncounted: int | Literal["pad_token_id"] | None = None
    mask: str = "additive"
    encoder: str = ""
    attended: str = ""


FAMILIES = {
    "bert": Family(types=True, encoder="encoder", attended="attention"),
    "distilbert": Family(encoder="transformer", attended="sa_layer_norm"),
    "roberta": Family(uncounted=PAD, encoder="encoder", attended="attention"),
    "xlm-roberta": Family(uncounted=PAD, encoder="encoder", attended="attention"),
    "camembert": Family(uncounted=PAD, encoder="encoder", attended="attention"),
    "electra": Family(types=True, encoder="encoder", attended="attention"),
    "albert": Family(types=True, encoder="encoder"),
    "mpnet": Family(uncounted=1),
    "deberta": Family(types=True, mask="own"),
    "deberta-v2": Family(types=True, mask="own"),  # DeBERTa-v3 names itself so, too
    "modernbert": Family(mask="own"),
}


def family_of(config: dict[str, Any]) -> Family:
    """The family's row for a config.json. Raises NoSuchName with the table."""
    name = config.get("model_type", "")
    if name not in FAMILIES:
        raise NoSuchName("encoder family", name, list(FAMILIES))
    return FAMILIES[name]


def inputs_of(config: dict[str, Any]) -> tuple[str, ...]:
    """The tensors that a model takes, in ONNX order."""
    two_types = family_of(config).types and config.get("type_vocab_size", 2) > 1
    return ("input_ids", "attention_mask", *(["token_type_ids"] if two_types else []))


def uncounted_of(config: dict[str, Any]) -> int | None:
    """The token id that a model's positions leave out, if any. Raises UserError where config.json must name it."""
    uncounted = family_of(config).uncounted
    if uncounted != PAD:
        return uncounted
    pad = config.get(PAD, 1)  # transformers' own default, in all of these families
    if not isinstance(pad, int):
        raise UserError(
            f"config.json has {PAD} {pad!r}, from which a {config['model_type']} counts its positions; write the id "
            "that the model was trained with, usually 1"
        )
    return pad


def positions_of(config: dict[str, Any]) -> int:
    """How many tokens a model can place: its positions, less the rows before the first token's. Raises UserError."""
    rows: int = config.get("max_position_embeddings", 512)
    uncounted = uncounted_of(config)
    positions = rows if uncounted is None else rows - (uncounted + 1)
    if positions < 1:
        raise UserError(
            f"config.json has max_position_embeddings {rows}, and positions are counted from {uncounted} ({PAD}) on: "
            "none is left for a token"
        )
    return positions
