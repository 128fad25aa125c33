"""Items to tensors, tensors to answers: a client's request as one or several of Triton's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tbgen.export.errors import UserError
from tbgen.export.run import Tensors
from tbgen.generator.compare.example import Item
from tbgen.server.client.client import request_groups, utf8
from tbgen.server.client.items import tensors_from_item
from tbgen.server.client.replies import unfit
from tbgen.server.gateway.body import off_loop
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.triton import Triton

_AT_ONCE = 2  # parts of a request that Triton has: one is computed while the next one is read
_PER_TEXT = 256  # values that are turned into others in the time in which a text is made a tensor


async def ask(
    triton: Triton,
    model: FrontModel,
    items: Sequence[Item],
    parameters: Mapping[str, Any],
    outputs: Sequence[str],
) -> list[Tensors]:
    """The outputs for each item, without a batch axis. Raises NoAnswer.

    Items of equal shapes share a request, as many as the model takes; where one fails, all do.
    """
    if missing := [name for name in outputs if name not in model.outputs]:
        raise NoAnswer(502, f"{model.model} has no output {missing[0]!r}, which this asks for")
    parts = await off_loop(text_count(items) * _PER_TEXT, _requests, model, items)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(tensors: Tensors) -> Tensors:
        async with turns:
            answer = await triton.infer(model.model, tensors, parameters, outputs)
        _check_answer(model, tensors, answer, outputs)
        return {name: answer[name] for name in outputs}  # whatever else a server sends

    tasks = [asyncio.create_task(one(each)) for each in parts]
    try:
        answers = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return [row for tensors, answer in zip(parts, answers, strict=True) for row in _rows(model, tensors, answer)]


def text_count(items: Sequence[Item]) -> int:
    """How many texts the items hold."""
    return sum(len(value) if isinstance(value, (list, tuple)) else 1 for item in items for value in item.values())


def _requests(model: FrontModel, items: Sequence[Item]) -> list[Tensors]:
    """The tensors of the fewest requests that carry the items in their order. Raises NoAnswer."""
    try:
        made = [_tensors_of(model, item) for item in items]
    except UserError as error:
        raise NoAnswer(400, error.message) from error
    except RecursionError as error:
        raise NoAnswer(400, "a value is nested too deeply") from error
    return [_one(group) for group in request_groups(made, model.rows, _text_bytes, _have_equal_shapes)]


def _tensors_of(model: FrontModel, item: Item) -> Tensors:
    """One item. Raises UserError, NoAnswer."""
    for name, value in item.items():
        data_type, dims = model.inputs.get(name, ("", []))
        if data_type == "TYPE_STRING" and dims in ([1], [-1]):
            _check_text(name, value, several=dims == [-1])
    plain = {name: value for name, value in item.items() if model.inputs.get(name) == ("TYPE_STRING", [1])}
    if plain.keys() == item.keys() == model.inputs.keys() and model.rows:
        return {name: np.array([[utf8(text)]], dtype=object) for name, text in plain.items()}
    return tensors_from_item(model.config, item)


def _check_text(name: str, value: Any, *, several: bool) -> None:
    """Raise NoAnswer for what is no text, or no list of texts."""
    if several and not (isinstance(value, list) and value and all(isinstance(each, str) for each in value)):
        raise NoAnswer(400, f"{name} takes a list of texts, not empty")
    if not several and not isinstance(value, str):
        raise NoAnswer(400, f"{name} takes a text")


def _text_bytes(tensors: Tensors) -> int:
    return sum(len(text) for array in tensors.values() if array.dtype == object for text in array.flat)


def _have_equal_shapes(one: Tensors, other: Tensors) -> bool:
    return all(array.shape == one[name].shape for name, array in other.items())


def _one(parts: Sequence[Tensors]) -> Tensors:
    """Joined along the batch axis."""
    return parts[0] if len(parts) == 1 else {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}


def _check_answer(model: FrontModel, tensors: Tensors, answer: Tensors, outputs: Sequence[str]) -> None:
    """Raise NoAnswer where an answer is none to these tensors, by the model's own configuration."""
    rows = [len(next(iter(tensors.values())))] if model.rows else []
    if said := unfit(answer, {name: model.outputs[name] for name in outputs}, rows):
        raise NoAnswer(502, f"{model.model} answers without {said}")


def _rows(model: FrontModel, tensors: Tensors, answer: Tensors) -> Iterator[Tensors]:
    """Each item's part of an answer."""
    if not model.rows:
        yield answer
        return
    for row in range(len(next(iter(tensors.values())))):
        yield {name: array[row] for name, array in answer.items()}
