"""A task's tensors as plain values, and which of them an answer is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tbgen.export.run import Tensors
from tbgen.server.client.typed import objects_of, typed_answer
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer

RANKED = ("rerank", "similarity")
# Outputs that are the whole answer of a model that has them all.
_WHOLE = (("embedding",), ("scores", "ranking"), ("value",))


def outputs_of(model: FrontModel) -> list[str]:
    """The tensors that an answer is made of."""
    if objects := objects_of(model.outputs):
        return [name for name in (*objects.fields.values(), objects.count) if name in model.outputs]
    return list(next((names for names in _WHOLE if {*names} <= model.outputs.keys()), model.outputs))


def answer_from_tensors(model: FrontModel, tensors: Tensors, item: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One item's answer; its numbers are numpy's, which JSON is written of at their own precision.

    item: its inputs; of a ranking each result then has its text.
    """
    return typed_answer(item or {}, {name: _plain(model, name, array) for name, array in tensors.items()})


def objects_from_tensors(model: FrontModel, tensors: Tensors, name: str) -> list[Any]:
    """The list of objects that one item's answer has. Raises NoAnswer where the outputs have no more than the names."""
    answer = answer_from_tensors(model, tensors)
    if name not in answer:
        raise NoAnswer(502, f"{model.model} answers with outputs that are no {name} of {model.task}")
    return answer[name]


def _plain(model: FrontModel, name: str, array: np.ndarray) -> Any:
    """One output: a value for dims [1], else a list; a vector as it is."""
    if name == "embedding" or not array.ndim:
        return array
    if model.outputs[name][1] == [1]:
        return array[0]
    return [list(row) for row in array] if array.ndim > 1 else list(array)
