"""question-answering: answers to a question in a context, which is read in windows whatever its length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.tasks.model_kind import SPANS
from tbgen.export.tasks.settings import COUNT, FLAG, option_settings
from tbgen.export.tasks.task import Options, Step, Steps, Task

_ANSWER_OPTIONS: dict[str, Any] = {
    "top_k": COUNT,
    "max_answer_len": COUNT,
    "no_answer": FLAG,
    "align_to_words": FLAG,
    "json": FLAG,
}
_ENDS = 2  # logits of a token: that an answer starts there, and that it ends there


def _check_labels(labels: Sequence[str]) -> None:
    """Raise UserError for a config.json that gives the head other outputs than these."""
    if len(labels) != _ENDS:
        raise UserError(
            "question-answering needs a checkpoint with two outputs a token, where an answer starts and where it ends; "
            f"config.json says {len(labels)} ({', '.join(labels)}): if the weights have two, take num_labels, id2label "
            "and label2id out of it"
        )


def _answers(_: Exported, options: Options) -> Steps:
    """Parts of the context."""
    return (Step("question_answering.py", "QuestionAnswering", option_settings(options, *_ANSWER_OPTIONS)),)


def _windows(exported: Exported, options: Options) -> dict[str, Any]:
    """How a long context is cut: as transformers' pipeline does, into 384 tokens that share at most 128."""
    longest = exported.fixed_length or min(exported.max_length, options.get("window", 384))
    return {"max_length": longest, "stride": options.get("stride", min(longest // 2, 128))}


TASK = Task(
    _answers,
    SPANS,
    reading=_windows,
    tokenizer=("windows.py", "Windows"),
    several_rows=True,
    max_items=16,
    check_labels=_check_labels,
    options={**_ANSWER_OPTIONS, "window": COUNT, "stride": COUNT},
)
