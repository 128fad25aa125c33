"""What becomes of texts longer than the model: truncated, rejected, or read in windows whose answers are merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.generator.compare.vectors import (
    Options,
    Steps,
    embedding,
    ids_type,
    rerank,
    said_in_json,
    similarity,
    sparse_embedding,
    width,
)
from tbgen.generator.steps.step import Step
from tbgen.generator.tasks import (
    COUNT,
    PAIR,
    QUERY_AND_TEXTS,
    QUERY_WITH_TEXTS,
    TEXT_WITH_LABELS,
    Task,
    classification,
    reads_pairs,
    token_classification,
    zero_shot,
)

LONG_TEXTS = ("truncate", "reject", "windows")
WINDOW_ITEMS = 32  # most items that one execution joins: each may become many rows
IN_CONTEXT = "question-answering"  # it reads windows of its own


@dataclass(frozen=True)
class Windowed:
    """How a task reads windows.

    head: the steps behind the engine, those that merge windows among them.
    reading: settings of the tokenizer beside lengths, stride and the number of windows.
    """

    head: Callable[[Exported, Options], Steps]
    reading: Callable[[Exported, Options], Mapping[str, Any]] = lambda *_: {}


def task_for(name: str, task: Task, long_text: str | None) -> Task:
    """The task with long texts treated so; None leaves it at the task's own. Raises UserError."""
    if long_text is None:
        return task
    if name == IN_CONTEXT:
        return in_context(task, long_text)
    if long_text == "windows":
        return in_windows(name, task)
    how = {"truncation": "do_not_truncate"} if long_text == "reject" else {}
    return replace(task, reading=lambda exported, options: task.reading(exported, options) | how)


def check_long_text(word: str | None) -> None:
    """Raise UserError for a word that does not say what becomes of long texts."""
    if word not in (None, *LONG_TEXTS):
        raise UserError(f"long texts cannot be treated as {word!r}; --long-text takes {', '.join(LONG_TEXTS)}")


def in_context(task: Task, long_text: str) -> Task:
    """Question answering reads its context in windows of its own, or refuses one that needs several."""
    if long_text == "truncate":
        raise UserError(
            f"{IN_CONTEXT} reads a long context in windows, whatever its length; leave --long-text out, or refuse "
            "such contexts with --long-text reject"
        )
    most = {"max_windows": 1} if long_text == "reject" else {}
    return replace(task, reading=lambda exported, options: task.reading(exported, options) | most)


def in_windows(name: str, task: Task) -> Task:
    """The task over BLS, with the tokenizer that cuts and the steps that merge. Raises UserError."""
    if name not in WINDOWED:
        why = NOT_WINDOWED.get(name, "no rule says how its answers would be merged")
        raise UserError(f"{name} cannot read windows: {why}. --long-text windows works for {', '.join(WINDOWED)}")
    row = WINDOWED[name]

    def reading(exported: Exported, options: Options) -> dict[str, Any]:
        longest = exported.fixed_length or exported.max_length
        chosen = {"stride": longest // 4} | {key: options[key] for key in WINDOW_OPTIONS if key in options}
        if (stride := chosen["stride"]) >= longest // 2:
            raise UserError(f"a stride of {stride} is too long for windows of {longest} tokens; set less than half")
        return chosen | dict(row.reading(exported, options))

    return replace(
        task,
        head=row.head,
        reading=reading,
        tokenizer=("windows.py", "TextWindows"),
        graphs=("bls", "single"),
        max_items=min(task.max_items, WINDOW_ITEMS),
        options=dict(task.options) | WINDOW_OPTIONS,
    )


def merge(exported: Exported, rule: str, **settings: Any) -> Step:
    """One vector for each text from those of its windows."""
    return Step("merge.py", "Merge", {"rule": rule, "size": width(exported)} | settings)


def merged_classes(exported: Exported, options: Options) -> Steps:
    """The windows' probabilities, or the values of a regression, in their mean."""
    head = classification(exported, options)
    rule = "mean" if head[0].name == "Regression" else head[0].settings.get("activation", "softmax")
    return (merge(exported, rule), *head)


def joined_tokens(exported: Exported, options: Options) -> Steps:
    """Each token as its own window says it."""
    settings = {"size": width(exported), "data_type": ids_type(exported)}
    return (Step("merge.py", "JoinTokens", settings), *token_classification(exported, options))


def merged_vectors(exported: Exported, options: Options) -> Steps:
    """Vectors pooled of each window, merged, then cut and scaled."""
    (head,) = embedding(exported, options)
    pooling = head.settings.get("pooling", "mean")
    if head.settings.get("skip_prompt") or pooling not in MERGED:
        raise UserError(
            f"windows are merged where tokens are pooled by one of {', '.join(MERGED)}, prompts included; this pools "
            f"by {pooling if isinstance(pooling, str) else ' and '.join(pooling)}"
            + (", prompts left out" if head.settings.get("skip_prompt") else "")
            + "; leave --long-text windows out"
        )
    if pooling == "none":
        return (merge(exported, "mean"), head)
    names = ("size", "data_type", "pooling")
    pool = {name: head.settings[name] for name in names if name in head.settings} | {"normalize": False}
    rule = "max" if pooling == "max" else "mean"
    return (
        replace(head, settings=pool),
        merge(exported, rule, takes="embedding"),
        replace(head, settings={**head.settings, "pooling": "none"}),
    )


def merged_similarity(exported: Exported, options: Options) -> Steps:
    """Cosines of merged vectors."""
    return (*merged_vectors(exported, options), similarity(exported, options)[-1])


def merged_entailment(exported: Exported, options: Options) -> Steps:
    """Of each hypothesis, what the window says from which it follows most surely."""
    head = zero_shot(exported, options)
    entailment = [label.lower().startswith("entail") for label in exported.labels].index(True)
    return (merge(exported, "surest", by=entailment), *head)


def merged_weights(exported: Exported, options: Options) -> Steps:
    """The largest weight of each token over the windows. Raises UserError for weights that are sums."""
    (head,) = sparse_embedding(exported, options)
    if head.settings.get("pooling") == "sum":
        raise UserError(
            "windows are merged by the largest weight, and this checkpoint adds weights up (pooling sum), the special "
            "tokens' of each window too; leave --long-text out, or serve it with --set pooling=max"
        )
    settings = {"size": width(exported), "data_type": ids_type(exported)}
    return (Step("merge.py", "LargestLogits", settings), head)


MERGED = ("none", "cls", "mean", "max", "lasttoken")  # of the windows' vectors the mean is taken, of max the largest
WINDOW_OPTIONS: dict[str, Mapping[str, Any]] = {"stride": COUNT, "max_windows": COUNT}
WINDOWED = {
    "text-classification": Windowed(
        merged_classes, lambda exported, options: PAIR if reads_pairs(exported, options) else {}
    ),
    "token-classification": Windowed(joined_tokens, lambda *_: {"extras": ["offsets", "tokenized_text"]}),
    "embedding": Windowed(lambda exported, options: said_in_json(merged_vectors(exported, options), options)),
    "rerank": Windowed(
        lambda exported, options: (merge(exported, "max"), *rerank(exported, options)),
        lambda *_: QUERY_WITH_TEXTS | {"cut": "second"},
    ),
    "similarity": Windowed(merged_similarity, lambda *_: QUERY_AND_TEXTS),
    "zero-shot-classification": Windowed(merged_entailment, lambda *_: TEXT_WITH_LABELS | {"cut": "first"}),
    "sparse-embedding": Windowed(merged_weights),
}
NOT_WINDOWED = {"fill-mask": "a mask is filled from the words around it; send the passage that it stands in"}
