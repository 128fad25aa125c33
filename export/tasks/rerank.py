"""rerank: a score for each pair of a query and a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tasks.model_kind import PAIR_CLASSES
from tbgen.export.tasks.prompts import PROMPT_OPTIONS, prompts
from tbgen.export.tasks.settings import COUNT, FLAG, PAIR, merge, option_settings
from tbgen.export.tasks.task import Options, Step, Steps, Task, Windows

# The rows that stand for an item, as a client knows them.
_ROWS: dict[str, Any] = PAIR | {"rows_of": ["query and texts"]}


def _check_labels(labels: Sequence[str]) -> None:
    """Raise UserError for a model with several classes."""
    if len(labels) != 1:
        raise UserError(
            f"rerank needs a checkpoint with one output, this one has {len(labels)} "
            f"({', '.join(labels)}); serve it with --task text-classification --set pair=true"
        )


def _scores(exported: Exported, options: Options) -> Steps:
    """A score for a pair. Raises UserError for a model with several classes."""
    _check_labels(exported.labels)
    activation = exported.sentence.get("activation")
    settings = {"activation": activation} if activation and activation != "Sigmoid" else {}
    return (Step("rerank.py", "Rerank", settings | option_settings(options, "sigmoid", "json")),)


def _query_pairs(exported: Exported, options: Options) -> Steps:
    """A query and texts as pairs, the query's prompt before it."""
    return (
        *prompts(exported, options, "query"),
        Step("rerank.py", "QueryPairs", option_settings(options, "max_texts")),
    )


TASK = Task(
    _scores,
    PAIR_CLASSES,
    rows=_query_pairs,
    reading=lambda *_: _ROWS,
    several_rows=True,
    max_items=16,
    options={"sigmoid": FLAG, "max_texts": COUNT, **PROMPT_OPTIONS, "json": FLAG},
    windows=Windows(
        lambda exported, options: (merge(exported, "max"), *_scores(exported, options)),
        lambda *_: _ROWS | {"cut": "second"},
    ),
)
