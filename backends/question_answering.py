"""Start and end logits of windows to the best answers of each question, with their places in the context."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .numerics import columns_from_rows, counts_of, json_column, softmax

Tensors = dict[str, np.ndarray]
Specs = dict[str, tuple[str, list[int]]]
LONGEST_ANSWER = 15  # tokens, unless a person or a request says otherwise
COLUMNS: Specs = {
    "answer_text": ("TYPE_STRING", [-1]),
    "answer_score": ("TYPE_FP32", [-1]),
    "answer_start": ("TYPE_INT32", [-1]),
    "answer_end": ("TYPE_INT32", [-1]),
}


@dataclass
class Answer:
    """A span of a context: its text, score, and place in characters."""

    text: str
    score: float
    start: int
    end: int


class QuestionAnswering:
    """Finds the best spans of each context, by the rule of transformers 4's pipeline (docs/reference/tasks.md).

    Args:
        folder: the version folder; nothing is read from it.
        top_k: how many answers to give.
        max_answer_len: most tokens of an answer.
        no_answer: whether "" may be an answer, scored by the model's first token.
        align_to_words: widen an answer to whole words.
        data_type: of attention_mask.
        extras: outputs to give always, which else a request must ask for: json.

    A request may say otherwise in each of top_k, max_answer_len, no_answer and align_to_words.
    """

    parameters = {
        "top_k": {"type": "integer", "minimum": 1, "maximum": 100},
        "max_answer_len": {"type": "integer", "minimum": 1, "maximum": 1000},
        "no_answer": {"type": "boolean"},
        "align_to_words": {"type": "boolean"},
        "json": {"type": "boolean"},
    }

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        top_k: int = 1,
        max_answer_len: int = LONGEST_ANSWER,
        no_answer: bool = False,
        align_to_words: bool = True,
        extras: Sequence[str] = (),
    ) -> None:
        self.defaults = {
            "top_k": top_k,
            "max_answer_len": max_answer_len,
            "no_answer": no_answer,
            "align_to_words": align_to_words,
            "json": "json" in extras,
        }
        self.inputs = {
            "start_logits": ("TYPE_FP32", [-1]),
            "end_logits": ("TYPE_FP32", [-1]),
            "context_mask": ("TYPE_INT32", [-1]),
            "offsets": ("TYPE_INT32", [-1, 2]),
            "word_offsets": ("TYPE_INT32", [-1, 2]),
            "row_item": ("TYPE_INT32", [1]),
            "context": ("TYPE_STRING", [1]),
        }
        self.outputs: Specs = {"answer_count": ("TYPE_INT32", [1])} | COLUMNS
        self.outputs |= {"json": ("TYPE_STRING", [1])}
        self.on_request = () if "json" in extras else ("json",)

    def __call__(
        self,
        start_logits: np.ndarray,
        end_logits: np.ndarray,
        context_mask: np.ndarray,
        offsets: np.ndarray,
        word_offsets: np.ndarray,
        row_item: np.ndarray,
        context: np.ndarray,
        **chosen: Any,
    ) -> Tensors:
        """start_logits, end_logits: (rows, length), a row for each window of an item. Gives answer_count (items, 1) and
        the other answer_* tensors, (items, most of any item): best first, "" and 0 behind an item's answers.
        """
        settings = self.defaults | chosen
        places = word_offsets if settings["align_to_words"] else offsets
        most = settings["top_k"] * 2 + 10 if settings["align_to_words"] else settings["top_k"]
        starts, ends = probabilities(start_logits, context_mask), probabilities(end_logits, context_mask)
        items = [ItemAnswers(text) for text in context[:, 0].tolist()]
        for row, item in enumerate(row_item[:, 0].tolist()):
            items[item].nothing = min(items[item].nothing, float(starts[row, 0] * ends[row, 0]))
            spans = best_spans(starts[row], ends[row], context_mask[row] == 1, settings["max_answer_len"], most)
            for start, end, score in spans:
                items[item].add(int(places[row, start, 0]), int(places[row, end, 1]), score)
        rows = [item.best(settings["top_k"], settings["no_answer"]) for item in items]
        answer = {"answer_count": counts_of(rows)} | columns_from_rows(rows, COLUMNS, "answer_")
        if settings["json"] or self.defaults["json"]:
            answer["json"] = json_column([vars(each) for each in row] for row in rows)
        return answer

    def trim(self, answer: Tensors) -> Tensors:
        """One request's answers, as wide as its own items need."""
        width = int(answer["answer_count"].max(initial=0))
        return {name: answer[name][:, :width] for name in COLUMNS}


class ItemAnswers:
    """The answers that one item's windows give; those of one wording are one answer, their scores added."""

    def __init__(self, context: str) -> None:
        self.context = context
        self.found: dict[str, Answer] = {}
        self.nothing = float("inf")

    def add(self, start: int, end: int, score: float) -> None:
        """One more span of the context."""
        text = self.context[start:end]
        answer = self.found.setdefault(text.lower(), Answer(text, 0.0, start, end))
        answer.score += score

    def best(self, count: int, no_answer: bool) -> list[Answer]:
        """The best answers, "" among them if that is allowed."""
        answers = [*self.found.values(), *([Answer("", self.nothing, 0, 0)] if no_answer else [])]
        return sorted(answers, key=lambda answer: answer.score, reverse=True)[:count]


def probabilities(logits: np.ndarray, context_mask: np.ndarray) -> np.ndarray:
    """(rows, length) softmax over a window's context tokens and its first token, which stands for no answer."""
    allowed = context_mask == 1
    allowed[:, 0] = True
    return softmax(np.where(allowed, logits, -np.inf))


def best_spans(
    starts: np.ndarray, ends: np.ndarray, allowed: np.ndarray, longest: int, count: int
) -> list[tuple[int, int, float]]:
    """First token, last token and score of the best spans of one window; a score is start times end probability."""
    starts, ends = np.where(allowed, starts, -1), np.where(allowed, ends, -1)
    extents = range(min(longest, len(starts)))
    scores = np.full((len(starts), len(extents)), -1.0)
    for extent in extents:
        both = (starts[: len(starts) - extent] >= 0) & (ends[extent:] >= 0)
        scores[: len(starts) - extent, extent] = np.where(both, starts[: len(starts) - extent] * ends[extent:], -1)
    order = np.argsort(-scores, axis=None, kind="stable")[:count]
    pairs = zip(*np.unravel_index(order, scores.shape), strict=True)
    return [
        (int(start), int(start + extent), float(scores[start, extent]))
        for start, extent in pairs
        if scores[start, extent] >= 0
    ]
