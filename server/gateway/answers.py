"""A task's tensors as plain values, and which of them an answer is made of."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from tbgen.export.run import Tensors
from tbgen.server.client.typed import objects_of, typed_answer
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer

RANKED = ("rerank", "similarity")
# Outputs that are the whole answer of a model that has them all.
_WHOLE = (("embedding",), ("scores", "ranking"), ("value",))
_TEXTS = {"word", "label", "text", "token"}  # fields of objects that are texts; all others are numbers


def outputs_of(model: FrontModel) -> list[str]:
    """The tensors that an answer is made of."""
    if objects := objects_of(model.outputs):
        return [name for name in (*objects.fields.values(), objects.count) if name in model.outputs]
    return list(next((names for names in _WHOLE if {*names} <= model.outputs.keys()), model.outputs))


def answer_from_tensors(model: FrontModel, tensors: Tensors, item: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One item's answer; its numbers are numpy's, which JSON is written of at their own precision.

    item: its inputs; of a ranking each result then has its text. Outputs that only have the names stay as they are.
    """
    plain = {name: _plain(model, name, array) for name, array in tensors.items()}
    return typed_answer(item or {}, plain) if _list_in(model, tensors, item or {}) else plain


def objects_from_tensors(
    model: FrontModel, tensors: Tensors, name: str, item: Mapping[str, Any] | None = None
) -> list[Any]:
    """The list of objects that one item's answer has. Raises NoAnswer where the outputs have no more than the names."""
    if _list_in(model, tensors, item or {}) != name:
        raise only_names(model, name)
    found: list[Any] = answer_from_tensors(model, tensors)[name]
    return found


def objects_from_columns(
    model: FrontModel, name: str, columns: Tensors, count: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """Field -> its values as a list of objects, so many as are counted. Raises NoAnswer likewise."""
    if not are_columns(columns, count):
        raise only_names(model, name)
    rows = islice(zip(*columns.values(), strict=True), None if count is None else int(count[0]))
    return [dict(zip(columns, row, strict=True)) for row in rows]


def only_names(model: FrontModel, name: str) -> NoAnswer:
    """What a client is told of outputs whose types, shapes or numbers are not those of the task."""
    return NoAnswer(502, f"{model.model} answers with outputs that are no {name} of {model.task}")


def are_columns(columns: Mapping[Any, np.ndarray], count: np.ndarray | None = None, axes: int = 1) -> bool:
    """Whether arrays, by the names of fields, hold as many texts or numbers each, and not fewer than are counted."""
    shapes = [array.shape for array in columns.values()]
    return (
        all(shape == shapes[0] and len(shape) == axes for shape in shapes)
        and all(array.dtype.kind in ("O" if field in _TEXTS else "iuf") for field, array in columns.items())
        and (count is None or (count.shape == (1,) and count.dtype.kind in "iu" and 0 <= count[0] <= shapes[0][0]))
    )


def _list_in(model: FrontModel, tensors: Tensors, item: Mapping[str, Any]) -> str:
    """The name of the list of objects that outputs are by types, shapes and numbers, too; empty where they are none."""
    single = {name for name in tensors if model.outputs[name][1] == [1]}
    if objects := objects_of(tensors):
        columns = {field: tensors[output] for field, output in objects.fields.items()}
        fit = are_columns(columns, tensors.get(objects.count), 2 if objects.name == "masks" else 1)
        return objects.name if fit and single & {*objects.fields.values(), objects.count} <= {objects.count} else ""
    if not {"scores", "ranking"} <= tensors.keys() - single:
        return ""
    scores, ranking, texts = tensors["scores"], tensors["ranking"], item.get("texts")
    fit = are_columns({"score": scores}) and ranking.ndim == 1 and ranking.dtype.kind in "iu"
    fit = fit and (not isinstance(texts, list) or len(texts) == len(scores))
    places = ranking.tolist() if fit else []
    return "results" if fit and len({*places}) == len(places) and {*places} <= {*range(len(scores))} else ""


def _plain(model: FrontModel, name: str, array: np.ndarray) -> Any:
    """One output: a value for dims [1], else a list; a vector as it is."""
    if name == "embedding" and array.dtype != object:
        return array
    return array[0] if model.outputs[name][1] == [1] else _nested(array)


def _nested(array: np.ndarray) -> list[Any]:
    """An array as lists of its numbers or texts."""
    return [_nested(row) for row in array] if array.ndim > 1 else list(array)
