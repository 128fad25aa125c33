"""similarity: how alike a query and texts are, from their vectors."""

from __future__ import annotations

from typing import Any

from tbgen.backends.similarity import METRICS
from tbgen.export.exported import Exported
from tbgen.export.tasks.embedding import POOLING, embedding, merged_embedding
from tbgen.export.tasks.model_kind import HIDDEN
from tbgen.export.tasks.prompts import prompt_length, skips_prompt
from tbgen.export.tasks.settings import COUNT, FLAG, TEXT, option_settings
from tbgen.export.tasks.task import Options, Step, Steps, Task, Windows

# The rows that stand for an item, as a client knows them: the tensor of leading rows, and that of all others.
_ROWS: dict[str, Any] = {"rows_of": ["query", "texts"]}


def _query_prompts(exported: Exported, options: Options) -> dict[str, str]:
    """What encode_query and encode_document of sentence-transformers 6 put before a text: prompts of these two names.

    The library has both at all times, empty where none was saved, and so asks neither for another nor for the default.
    """
    named = exported.sentence.get("prompts", {})
    own = {"query_prompt": named.get("query", ""), "text_prompt": named.get("document", "")}
    return own | {name: options[name] for name in own if name in options}


def _query_texts(exported: Exported, options: Options) -> Steps:
    """A query and texts as rows, each with its prompt."""
    texts = _query_prompts(exported, options)
    settings: dict[str, Any] = texts | option_settings(options, "max_texts")
    if skips_prompt(exported, texts.values()):
        settings["prompt_lengths"] = [prompt_length(exported, text) for text in texts.values()]
    return (Step("similarity.py", "QueryTexts", settings),)


def _vector_size(head: Step) -> int:
    """How many numbers an Embedding's vector has."""
    settings = head.settings
    modes = settings.get("pooling", "mean")
    size = int(settings.get("dims") or settings["size"] * (1 if isinstance(modes, str) else len(modes)))
    return min(size, settings.get("truncate_dim") or size)


def _similarities(exported: Exported, options: Options) -> Steps:
    """The vectors, and the likeness of a query's to those of its texts."""
    vectors = embedding(exported, options, _query_prompts(exported, options).values())
    metric = options.get("metric", exported.sentence.get("similarity"))
    settings = {"size": _vector_size(vectors[-1]), **({"metric": metric} if metric else {})}
    return (*vectors, Step("similarity.py", "Similarity", settings | option_settings(options, "json")))


TASK = Task(
    _similarities,
    HIDDEN,
    rows=_query_texts,
    reading=lambda *_: _ROWS,
    several_rows=True,
    max_items=16,
    options={
        "pooling": POOLING,
        "dims": COUNT,
        "metric": {"type": "string", "enum": list(METRICS)},
        "query_prompt": TEXT,
        "text_prompt": TEXT,
        "max_texts": COUNT,
        "json": FLAG,
    },
    windows=Windows(
        lambda exported, options: (*merged_embedding(exported, options), _similarities(exported, options)[-1]),
        lambda *_: _ROWS,
    ),
)
