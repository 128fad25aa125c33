"""embedding: a vector for a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tbgen.backends.embedding import POOLINGS
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tasks.model_kind import HIDDEN
from tbgen.export.tasks.prompts import PROMPT_OPTIONS, named_prompts, prompts, skips_prompt
from tbgen.export.tasks.settings import COUNT, FLAG, ids_type, merge, option_settings, output_width
from tbgen.export.tasks.task import Options, Step, Steps, Task, Windows

POOLING = {"type": "string", "enum": list(POOLINGS)}
_MERGED = ("none", "cls", "mean", "max", "lasttoken")  # of the windows' vectors the mean is taken, of max the largest


def embedding(exported: Exported, options: Options, before: Iterable[str] | None = None) -> Steps:
    """As a sentence-transformers folder says, unless a person set otherwise.

    before: what may stand before a text, if not one of the prompts that a request names.
    """
    sentence = exported.sentence
    before = named_prompts(exported, options).values() if before is None else before
    settings: dict[str, Any] = {"size": output_width(exported), "data_type": ids_type(exported)}
    if sentence:
        settings |= {
            "pooling": "none" if sentence["pooled"] else sentence["pooling"],
            "normalize": sentence["normalize"],
        }
        if "truncate_dim" in sentence and "dims" not in options:
            settings["truncate_dim"] = sentence["truncate_dim"]
    if "precision" in options:
        settings["output_type"] = f"TYPE_{options['precision'].upper()}"
    if skips_prompt(exported, before):
        settings["skip_prompt"] = True
    return (Step("embedding.py", "Embedding", settings | option_settings(options, "pooling", "normalize", "dims")),)


def merged_embedding(exported: Exported, options: Options) -> Steps:
    """Vectors pooled of each window, merged, then cut and scaled."""
    (head,) = embedding(exported, options)
    pooling = head.settings.get("pooling", "mean")
    if head.settings.get("skip_prompt") or pooling not in _MERGED:
        raise UserError(
            f"windows are merged where tokens are pooled by one of {', '.join(_MERGED)}, prompts included; this pools "
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


def _with_json(vectors: Steps, options: Options) -> Steps:
    """Steps whose last one is an Embedding, which then gives JSON too: to all requests, or to those that ask for it."""
    *before, last = vectors
    return (*before, replace(last, settings={**last.settings, "with_json": bool(options.get("json"))}))


TASK = Task(
    lambda exported, options: _with_json(embedding(exported, options), options),
    HIDDEN,
    rows=prompts,
    options={
        "pooling": POOLING,
        "normalize": FLAG,
        "dims": COUNT,
        "precision": {"type": "string", "enum": ["fp32", "fp16"]},
        **PROMPT_OPTIONS,
        "json": FLAG,
    },
    windows=Windows(lambda exported, options: _with_json(merged_embedding(exported, options), options)),
)
