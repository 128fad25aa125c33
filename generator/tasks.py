"""Table of the tasks: which steps stand around the engine, and what a person may set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tbgen.backends.request_parameters import check_parameter
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.sentence.folder import SIMILARITIES
from tbgen.export.sentence.modules import POOLINGS
from tbgen.generator.compare.vectors import (
    Options,
    Steps,
    chosen,
    embedding,
    ids_type,
    prompts,
    query_pairs,
    query_texts,
    rerank,
    said_in_json,
    similarity,
    sparse_embedding,
    width,
)
from tbgen.generator.engines import EACH_GRAPH
from tbgen.generator.steps.step import Step


@dataclass(frozen=True)
class Task:
    """What a task's graph is made of.

    head: the steps behind the engine, for an exported model and the options that a person set.
    rows: the steps before the tokenizer, which may turn an item into several rows.
    reading: settings of the tokenizer beside those that follow from the exported model.
    tokenizer: file and class of the tokenizer.
    graphs: an ensemble cannot join rows to items, so tasks with several rows an item are BLS alone.
    max_items: most items that one execution joins; rows are what costs, so it is small where an item has many.
    options: what a person may set: name -> rule, in the words of a step's request parameters.
    like: the task of the export's table whose checkpoints and engine it takes, if not that of its own name; without
    either it takes a checkpoint for what its config.json says.
    """

    head: Callable[[Exported, Options], Steps]
    rows: Callable[[Exported, Options], Steps] = lambda *_: ()
    reading: Callable[[Exported, Options], dict[str, Any]] = lambda *_: {}
    tokenizer: tuple[str, str] = ("tokenizer.py", "Tokenizer")
    graphs: tuple[str, ...] = EACH_GRAPH
    max_items: int = 128
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    like: str | None = None

    def checked(self, options: Options) -> Options:
        """The options, held against the rules. Raises UserError."""
        unknown = sorted(options.keys() - self.options.keys())
        if unknown:
            raise UserError(f"no option {unknown[0]!r} for this task. Options: {', '.join(self.options) or 'none'}")
        for name, value in options.items():
            try:
                check_parameter(name, value, self.options[name])
            except ValueError as error:
                raise UserError(str(error).replace("parameter", "option", 1)) from error
        return options

    def graphs_of(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Those of the asked graphs that can serve this task. Raises UserError when none can."""
        graphs = tuple(graph for graph in asked if graph in self.graphs)
        if not graphs:
            raise UserError(
                f"this reads several rows for an item, which an ensemble cannot; use --graph {' or '.join(self.graphs)}"
            )
        return graphs


# What makes scores of logits, where softmax does not, and which options each of these ways can use.
ACTIVATIONS = {"regression": "none", "multi_label_classification": "sigmoid"}
CLASSIFYING = {
    "softmax": ("top_k", "json", "logits"),
    "sigmoid": ("top_k", "json", "logits", "threshold"),
    "none": ("json",),
}


def classification(exported: Exported, options: Options) -> Steps:
    """Classes of a text, or the values of a regression. Raises UserError for options that the activation cannot use."""
    activation = options.get("activation") or saved_activation(exported) or ACTIVATIONS.get(exported.problem, "softmax")
    for name in CLASSIFYING["sigmoid"]:
        if name in options and name not in CLASSIFYING[activation]:
            others = " or ".join(other for other, names in CLASSIFYING.items() if name in names)
            raise UserError(
                f"option {name} has no use with the activation {activation}, by which this checkpoint is read; "
                f"leave it out, or set activation to {others}"
            )
    settings = {"labels": list(exported.labels)} | chosen(options, *CLASSIFYING[activation])
    if exported.sentence.get("activation") == "Identity" and "logits" in CLASSIFYING[activation]:
        settings |= chosen({"logits": True, **options}, "logits", "json")  # what CrossEncoder.predict gives
    if activation == "none":
        return (Step("regression.py", "Regression", settings),)
    named = {"activation": activation} if activation != "softmax" else {}
    return (Step("text_classification.py", "TextClassification", settings | named),)


# What a CrossEncoder's scores go through -> the activation that gives them; none: what the checkpoint's problem says.
SAVED = {"Identity": None, "Sigmoid": "sigmoid", "Softmax": "softmax"}


def saved_activation(exported: Exported) -> str | None:
    """The activation that a CrossEncoder was saved with, if any. Raises UserError for one that no head has."""
    saved = exported.sentence.get("activation")
    if saved is None:
        return None
    if saved not in SAVED:
        raise UserError(
            f"this CrossEncoder gives its classes through {saved}; text-classification has {', '.join(CLASSIFYING)}: "
            "choose one with --set activation="
        )
    return SAVED[saved] or ("none" if len(exported.labels) == 1 else None)


def token_classification(exported: Exported, options: Options) -> Steps:
    """Entities of a text."""
    settings = {
        "labels": list(exported.labels),
        "data_type": ids_type(exported),
        "unk_id": exported.special.get("unk"),
    } | chosen(options, "aggregation", "json")
    return (Step("token_classification.py", "TokenClassification", settings, (exported.tokenizer,)),)


def question_answering(_: Exported, options: Options) -> Steps:
    """Answers in a context."""
    names = ("top_k", "max_answer_len", "no_answer", "align_to_words", "json")
    return (Step("question_answering.py", "QuestionAnswering", chosen(options, *names)),)


def windows(exported: Exported, options: Options) -> dict[str, Any]:
    """How a long context is cut: as transformers' pipeline does, into 384 tokens that share at most 128."""
    longest = exported.fixed_length or min(exported.max_length, options.get("window", 384))
    return {"max_length": longest, "stride": options.get("stride", min(longest // 2, 128))}


def zero_shot(exported: Exported, options: Options) -> Steps:
    """Scores of candidate labels. Raises UserError for a model that was not trained on entailment."""
    if not any(label.lower().startswith("entail") for label in exported.labels):
        raise UserError(
            f"zero-shot-classification needs a class that begins with 'entail', this checkpoint has "
            f"{', '.join(exported.labels)}; name its classes with --label"
        )
    settings = {"labels": list(exported.labels)} | chosen(options, "multi_label", "json")
    return (Step("zero_shot_classification.py", "ZeroShotClassification", settings),)


def fill_mask(exported: Exported, options: Options) -> Steps:
    """Tokens for the masks of a text. Raises UserError for a tokenizer without a mask."""
    if "mask" not in exported.special:
        raise UserError("fill-mask needs a tokenizer with a mask token, this one has none")
    settings = {
        "mask_id": exported.special["mask"],
        "pad_id": exported.pad_id,
        "size": width(exported),
        "data_type": ids_type(exported),
    } | chosen(options, "top_k", "json")
    return (Step("fill_mask.py", "FillMask", settings, (exported.tokenizer,)),)


def reads_pairs(exported: Exported, options: Options) -> bool:
    """Whether a classifier's texts come in twos: if a person says so, or a CrossEncoder was saved."""
    return bool(options.get("pair", exported.sentence.get("pair", False)))


PAIR: dict[str, Any] = {"texts": ["input_text", "text_pair"]}
# The rows that stand for an item, as a client knows them: its tensors, of leading rows and of all others.
QUERY_WITH_TEXTS: dict[str, Any] = PAIR | {"rows_of": ["query and texts"]}
QUERY_AND_TEXTS: dict[str, Any] = {"rows_of": ["query", "texts"]}
TEXT_WITH_LABELS: dict[str, Any] = PAIR | {"rows_of": ["input_text and candidate_labels"]}
FLAG = {"type": "boolean"}
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
PROMPTS = {"type": "object"}
POOLING = {"type": "string", "enum": list(POOLINGS)}

TASKS = {
    "text-classification": Task(
        classification,
        rows=lambda exported, options: prompts(exported, options) if reads_pairs(exported, options) else (),
        reading=lambda exported, options: PAIR if reads_pairs(exported, options) else {},
        options={
            "pair": FLAG,
            "activation": {"type": "string", "enum": list(CLASSIFYING)},
            "top_k": COUNT,
            "threshold": SHARE,
            "logits": FLAG,
            "json": FLAG,
        },
    ),
    "token-classification": Task(
        token_classification,
        reading=lambda *_: {"extras": ["offsets", "special_tokens_mask", "tokenized_text"]},
        options={
            "aggregation": {"type": "string", "enum": ["none", "simple", "first", "average", "max"]},
            "json": FLAG,
        },
    ),
    "question-answering": Task(
        question_answering,
        reading=windows,
        tokenizer=("windows.py", "Windows"),
        graphs=("bls", "single"),
        max_items=16,
        options={
            "top_k": COUNT,
            "max_answer_len": COUNT,
            "no_answer": FLAG,
            "align_to_words": FLAG,
            "window": COUNT,
            "stride": COUNT,
            "json": FLAG,
        },
    ),
    "embedding": Task(
        lambda exported, options: said_in_json(embedding(exported, options), options),
        rows=prompts,
        options={
            "pooling": POOLING,
            "normalize": FLAG,
            "dims": COUNT,
            "precision": {"type": "string", "enum": ["fp32", "fp16"]},
            "prompts": PROMPTS,
            "default_prompt": TEXT,
            "json": FLAG,
        },
    ),
    "rerank": Task(
        rerank,
        rows=query_pairs,
        reading=lambda *_: QUERY_WITH_TEXTS,
        graphs=("bls", "single"),
        max_items=16,
        options={"sigmoid": FLAG, "max_texts": COUNT, "prompts": PROMPTS, "default_prompt": TEXT, "json": FLAG},
    ),
    "similarity": Task(
        similarity,
        rows=query_texts,
        reading=lambda *_: QUERY_AND_TEXTS,
        graphs=("bls", "single"),
        max_items=16,
        options={
            "pooling": POOLING,
            "dims": COUNT,
            "metric": {"type": "string", "enum": list(SIMILARITIES)},
            "query_prompt": TEXT,
            "text_prompt": TEXT,
            "max_texts": COUNT,
            "json": FLAG,
        },
    ),
    "fill-mask": Task(fill_mask, max_items=8, options={"top_k": COUNT, "json": FLAG}),
    "zero-shot-classification": Task(
        zero_shot,
        rows=lambda _, options: (
            Step("zero_shot_classification.py", "Hypotheses", chosen(options, "hypothesis_template", "max_labels")),
        ),
        reading=lambda *_: TEXT_WITH_LABELS | {"truncation": "only_first"},
        graphs=("bls", "single"),
        max_items=16,
        options={"hypothesis_template": TEXT, "multi_label": FLAG, "max_labels": COUNT, "json": FLAG},
    ),
    "sparse-embedding": Task(
        sparse_embedding,
        rows=prompts,
        max_items=8,
        options={
            "pooling": {"type": "string", "enum": ["max", "sum"]},
            "activation": {"type": "string", "enum": ["relu", "log1p_relu"]},
            "top_k": COUNT,
            "prompts": PROMPTS,
            "default_prompt": TEXT,
            "json": FLAG,
        },
    ),
}
