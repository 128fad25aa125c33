"""What a task's tensors mean, as plain values: labels, entities, answers, rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tbgen.export.run import Tensors
from tbgen.server.gateway.models import FrontModel

_Answer = dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """Tensors that are a list of objects: what the list is called, field -> tensor, and the tensor of their number."""

    key: str
    fields: Mapping[str, str]
    count: str = ""


LISTS = {
    "text-classification": Columns("labels", {"label": "top_labels", "score": "top_scores"}, "top_count"),
    "token-classification": Columns(
        "entities",
        {each: f"entities_{each}" for each in ("label", "word", "score", "start", "end")},
        "entities_count",
    ),
    "question-answering": Columns(
        "answers", {each: f"answer_{each}" for each in ("text", "score", "start", "end")}, "answer_count"
    ),
    "zero-shot-classification": Columns("labels", {"label": "labels", "score": "scores"}),
    "sparse-embedding": Columns(
        "tokens", {"token": "tokens", "id": "token_ids", "weight": "token_weights"}, "token_count"
    ),
    "fill-mask": Columns(
        "masks",
        {"token": "tokens", "id": "token_ids", "score": "token_scores", "text": "filled_text"},
        "mask_count",
    ),
}
RANKED = ("rerank", "similarity")


def outputs_of(model: FrontModel) -> list[str]:
    """The tensors that an answer is made of."""
    if model.task in LISTS and set(LISTS[model.task].fields.values()) <= model.outputs.keys():
        columns = LISTS[model.task]
        return [name for name in (*columns.fields.values(), columns.count) if name in model.outputs]
    named = ["scores", "ranking"] if model.task in RANKED else [model.task] if model.task == "embedding" else ["value"]
    return named if {*named} <= model.outputs.keys() else list(model.outputs)


def answer_from_tensors(model: FrontModel, tensors: Tensors) -> _Answer:
    """One item's answer: numbers as numpy's, which JSON is written of at their own precision."""
    columns = LISTS.get(model.task)
    if columns and set(columns.fields.values()) <= tensors.keys():
        count = int(tensors[columns.count].item()) if columns.count in tensors else None
        objects = [_objects(columns, tensors, row) for row in range(count or 0)] if model.task == "fill-mask" else None
        return {columns.key: _objects(columns, tensors)[:count] if objects is None else objects}
    if model.task == "embedding" and "embedding" in tensors:
        return {"embedding": tensors["embedding"]}
    if model.task in RANKED and {"scores", "ranking"} <= tensors.keys():
        scores = list(tensors["scores"])
        return {"results": [{"index": int(i), "score": scores[i]} for i in tensors["ranking"]]}
    if "value" in tensors:
        return {"values": list(tensors["value"])}
    return {"outputs": {name: array.tolist() for name, array in tensors.items()}}


def _objects(columns: Columns, tensors: Tensors, row: int | None = None) -> list[_Answer]:
    """The objects of the columns, or of one row of them."""
    lists = [list(tensors[name] if row is None else tensors[name][row]) for name in columns.fields.values()]
    return [dict(zip(columns.fields, values, strict=True)) for values in zip(*lists, strict=True)]
