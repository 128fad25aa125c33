"""docs/reference/tasks.md's rule for the answers of question-answering, span by span around transformers' model."""

from __future__ import annotations

from typing import Any

import torch

Span = tuple[str, int, int, float]


def spans_by_the_rule(
    tokenizer: Any,
    model: Any,
    question: str,
    context: str,
    cut: dict[str, int],
    *,
    words: bool = True,
    longest: int = 15,
    no_answer: bool = False,
    top_k: int = 1,
) -> list[Span]:
    """The best answers: text, place, score. cut: max_length and stride, in tokens, of transformers' windows."""
    asked: dict[str, Any] = {"return_overflowing_tokens": True, "return_offsets_mapping": True, "padding": True}
    encoded = tokenizer(question, context, truncation="only_second", **cut, **asked)
    found: dict[str, list[Any]] = {}
    nothing = []
    for row in range(len(encoded["input_ids"])):
        inputs = {name: torch.tensor([encoded[name][row]]) for name in tokenizer.model_input_names}
        with torch.no_grad():
            output = model(**inputs)
        inside = [token for token, part in enumerate(encoded.sequence_ids(row)) if part == 1]
        allowed = [0, *inside]
        starts, ends = (torch.softmax(logits[0, allowed], 0) for logits in (output.start_logits, output.end_logits))
        start_of, end_of = (dict(zip(allowed, values.tolist(), strict=True)) for values in (starts, ends))
        nothing.append(start_of[0] * end_of[0])
        spans = [(start_of[s] * end_of[e], s, e) for s in inside for e in inside if s <= e < s + longest]
        for score, start, end in sorted(spans, reverse=True)[: top_k * 2 + 10 if words else top_k]:
            first, last = place(encoded, row, start, words)[0], place(encoded, row, end, words)[1]
            text = context[first:last]
            found.setdefault(text.lower(), [text, first, last, 0.0])[3] += score
    answers = [tuple(answer) for answer in found.values()] + ([("", 0, 0, min(nothing))] if no_answer else [])
    return sorted(answers, key=lambda answer: -answer[3])[:top_k]


def place(encoded: Any, row: int, token: int, words: bool) -> tuple[int, int]:
    """Where a token, or the word around it, lies in the context."""
    word = encoded.token_to_word(row, token)
    if words and word is not None:
        span = encoded.word_to_chars(row, word, 1)
        return span.start, span.end
    start, end = encoded["offset_mapping"][row][token]
    return start, end
