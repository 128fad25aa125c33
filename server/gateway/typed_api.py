"""/models/NAME: a model's own inputs by name, and its answers as the task has them: labels, entities, answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tbgen.export.run import Tensors
from tbgen.generator.compare.example import Item, folder_example
from tbgen.server.gateway.answers import answer_from_tensors, outputs_of
from tbgen.server.gateway.body import json_response, off_loop
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.hugging_face import pipeline
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.stages import Stages
from tbgen.server.gateway.steps import steps_of_model

# Fields of a body beside the names of a model's inputs.
BODY_FIELDS: dict[str, dict[str, Any]] = {
    "items": {"type": "array", "items": {"type": "object"}, "description": "several items, in place of one"},
    "parameters": {"type": "object"},
    "tokens": {"type": "boolean", "description": "count the tokens that the engine reads, too"},
    "stages": {"type": "boolean", "description": "say where the time went, too"},
}
_KINDS = {"array": list, "object": dict, "boolean": bool}


async def ask_model(gateway: Gateway, request: Request) -> Response:
    """The answers to one item or several; with `inputs` those of Hugging Face's pipelines."""
    body = await gateway.body(request)
    model = await gateway.models.named(request.path_params["name"])
    if "inputs" in body and "inputs" not in model.inputs:
        return await pipeline(gateway, request, model, body)
    items, parameters = _items(model, body), body.get("parameters", {})
    before = await Stages.begun(gateway, model) if body.get("stages") else None
    began = time.perf_counter()
    rows = await gateway.answers(request, model, items, outputs_of(model), parameters)
    seconds = time.perf_counter() - began
    answer: dict[str, Any] = {"model": model.name, "triton_model": model.model, "task": model.task}
    size = sum(array.size for row in rows for array in row.values())
    answer["answers"] = await off_loop(size, _answers, model, rows, items)
    if body.get("tokens"):
        tokens = await gateway.tokens.count(model, items, parameters)
        answer["usage"] = None if tokens is None else {"total_tokens": tokens}
    if before:
        answer["stages"] = await before.ended(seconds)
    return await json_response(answer, size=size)


def _answers(model: FrontModel, rows: Sequence[Tensors], items: Sequence[Item]) -> list[dict[str, Any]]:
    return [answer_from_tensors(model, row, item) for row, item in zip(rows, items, strict=True)]


def _items(model: FrontModel, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items of a body. Raises NoAnswer."""
    for name, rule in BODY_FIELDS.items():
        if name in body and not isinstance(body[name], _KINDS[rule["type"]]):
            raise NoAnswer(400, f"{name} takes a JSON value of type {rule['type']}")
    items = body.get("items", [{name: value for name, value in body.items() if name not in BODY_FIELDS}])
    if "items" in body and (extra := sorted(body.keys() - BODY_FIELDS.keys())):
        raise NoAnswer(400, f"{extra[0]} stands beside items; put it into each of them")
    for item in items:
        if not isinstance(item, dict):
            raise NoAnswer(400, "items takes a list of JSON objects")
        if unknown := sorted(item.keys() - model.inputs.keys()):
            raise NoAnswer(400, f"no field {unknown[0]!r}. Fields: {', '.join([*model.inputs, *BODY_FIELDS])}")
        if missing := [name for name in model.inputs if name not in item]:
            raise NoAnswer(400, f"no {missing[0]!r} in it; model {model.name!r} takes {', '.join(model.inputs)}")
    return items


async def describe_model(gateway: Gateway, request: Request) -> Response:
    """What a model takes and gives, by its record and the server's configuration."""
    model = await gateway.models.named(request.path_params["name"])
    return await json_response(await description(model))


async def description(model: FrontModel) -> dict[str, Any]:
    """The same as plain values; `example`: what an item must hold, `{}` in it any text."""
    try:
        parameters: Any = (await asyncio.to_thread(steps_of_model, model)).parameters
    except NoAnswer:
        parameters = None
    example = await asyncio.to_thread(folder_example, model.folder) if model.folder else {}
    settings, export = model.record.get("settings", {}), model.record.get("export", {})
    return {
        "name": model.name,
        "triton_model": model.model,
        "task": model.task,
        "graph": model.graph,
        "inputs": {name: {"type": kind, "dims": dims} for name, (kind, dims) in model.inputs.items()},
        "outputs": {name: {"type": kind, "dims": dims} for name, (kind, dims) in model.outputs.items()},
        "example": example,
        "parameters": parameters,
        "labels": settings.get("labels"),
        "max_length": export.get("max_length"),
        "max_items": model.rows,
    }
