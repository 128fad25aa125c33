"""What a task's outputs mean, as plain values: a list of entities, answers or labels in place of lists of parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Objects:
    """Outputs that together are a list of objects: its name, field -> output, and the output that counts them."""

    name: str
    fields: Mapping[str, str]
    count: str = ""


# By the outputs' names (docs/reference/tasks.md), since a server does not tell a model's task.
_LISTS = (
    Objects(
        "entities", {each: f"entities_{each}" for each in ("word", "label", "score", "start", "end")}, "entities_count"
    ),
    Objects("answers", {each: f"answer_{each}" for each in ("text", "score", "start", "end")}, "answer_count"),
    Objects(
        "masks",
        {"token": "tokens", "id": "token_ids", "score": "token_scores", "text": "filled_text"},
        "mask_count",
    ),
    Objects("tokens", {"token": "tokens", "id": "token_ids", "weight": "token_weights"}, "token_count"),
    Objects("labels", {"label": "top_labels", "score": "top_scores"}, "top_count"),
    Objects("labels", {"label": "labels", "score": "scores"}),
)
OBJECTS = {*(each.name for each in _LISTS), "results"}


def objects_of(outputs: Collection[str]) -> Objects | None:
    """The list of objects that is among these outputs, if there is one."""
    return next((each for each in _LISTS if {*each.fields.values()} <= {*outputs}), None)


def typed_answer(item: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """An item's answer, output -> value, with its lists as objects, without what fills them up; the rest as it is.

    item: input -> value; of a ranking each result has its text. Outputs that only have the names stay as they are.
    """
    try:
        return _typed(item, answer)
    except (TypeError, ValueError, IndexError):
        return dict(answer)


def _typed(item: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """The same, of outputs that have a task's shapes. Raises TypeError, ValueError, IndexError for others."""
    typed = dict(answer)
    for each in _LISTS:
        columns = [answer.get(output) for output in each.fields.values()]
        if all(isinstance(column, list) for column in columns) and len({len(column or ()) for column in columns}) == 1:
            found = [_objects(each.fields, row) for row in zip(*columns, strict=True)]
            if not 0 <= (count := answer.get(each.count, len(found))) <= len(found):
                raise ValueError(count)
            for output in (*each.fields.values(), each.count):
                typed.pop(output, None)
            return typed | {each.name: found[:count]}
    if {"scores", "ranking"} <= typed.keys():
        scores, ranking = typed.pop("scores"), typed.pop("ranking")
        if not {*ranking} <= {*range(len(scores))}:
            raise ValueError(ranking)
        texts = item.get("texts")
        named = isinstance(texts, list) and len(texts) == len(scores)
        typed["results"] = [
            {"index": at, **({"text": texts[at]} if named else {}), "score": scores[at]}  # type: ignore[index]
            for at in ranking
        ]
    return typed


def _objects(fields: Mapping[str, str], values: tuple[Any, ...]) -> Any:
    """One object; of lists, as each mask has them, a list of objects."""
    if isinstance(values[0], list):
        return [dict(zip(fields, each, strict=True)) for each in zip(*values, strict=True)]
    return dict(zip(fields, values, strict=True))
