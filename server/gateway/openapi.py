"""The gateway's endpoints as an OpenAPI document: forms of fixed endpoints, and each model's own inputs and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tbgen.generator.version import version
from tbgen.server.client.typed import objects_of
from tbgen.server.gateway.answers import RANKED, outputs_of
from tbgen.server.gateway.body import json_response
from tbgen.server.gateway.endpoint import GatewayRoute
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.typed_api import BODY_FIELDS, description

Schema = dict[str, Any]
_REFERENCE = "#/components/schemas/{model}"
_OWN = "/models/{name}"
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


async def openapi(gateway: Gateway, request: Request) -> Response:
    """This document."""
    routes = [route for route in request.app.routes if isinstance(route, GatewayRoute)]
    forms = [(form, "validation") for route in routes for form in route.forms]
    references, schemas = models_json_schema(forms, ref_template=_REFERENCE)  # type: ignore[arg-type]
    paths: dict[str, Schema] = {}
    for route in routes:
        bodies = [references[form, "validation"] for form in route.forms]
        body = {"anyOf": bodies} if len(bodies) > 1 else next(iter(bodies), None)
        for method in route.methods - {"HEAD"} if route.methods else ():
            paths.setdefault(route.path, {})[method.lower()] = _operation(route.summary, body)
        if "{name}" in route.path:
            paths[route.path]["parameters"] = [_NAME]
    asks = paths.pop(_OWN)
    for name in dict.fromkeys(each.name for each in await gateway.models.all()):
        model = await gateway.models.named(name)
        described = await description(model)
        answer = _answer(model, described["labels"])
        paths[f"/models/{quote(name, safe='')}"] = {
            "get": asks["get"],
            "post": _operation(f"{model.task}, by {model.model}", _body(model, described), answer),
        }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "tbgen gateway", "version": version()},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    return await json_response(document | ({"security": [{"key": []}]} if gateway.settings.keys else {}))


def _operation(summary: str, body: Schema | None, answer: Schema | None = None) -> Schema:
    said: Schema = {"summary": summary, "responses": {"200": {"description": "the answer"}}}
    if answer:
        said["responses"]["200"]["content"] = {"application/json": {"schema": answer}}
    if body:
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        said["responses"]["400"] = {"description": "what is wrong with the request, in one sentence"}
        said["responses"]["429"] = {"description": "too much is asked; Retry-After says when to ask again"}
    return said


def _body(model: FrontModel, described: Schema) -> Schema:
    """One item, and what may stand beside it."""
    inputs = {name: _value(kind, dims) for name, (kind, dims) in model.inputs.items()}
    fields = {name: dict(rule) for name, rule in BODY_FIELDS.items()}
    if described["parameters"] is not None:
        fields["parameters"] |= {"properties": described["parameters"], "additionalProperties": False}
    fields["items"]["items"] = {"type": "object", "properties": inputs, "required": [*inputs]}
    return {"type": "object", "properties": inputs | fields, "additionalProperties": False}


def _answer(model: FrontModel, labels: list[str] | None) -> Schema:
    """What comes back."""
    item = {"type": "object", "properties": _item_answer(model, labels)}
    stages = {"type": "object", "properties": {"milliseconds": {"type": "object"}, "total": {"type": "number"}}}
    usage = {"type": ["object", "null"], "properties": {"total_tokens": {"type": "integer"}}}
    named = {name: {"type": "string"} for name in ("model", "triton_model", "task")}
    fields = {**named, "answers": {"type": "array", "items": item}, "usage": usage, "stages": stages}
    return {"type": "object", "properties": fields}


def _item_answer(model: FrontModel, labels: list[str] | None) -> Schema:
    """The fields of one item's answer."""
    if objects := objects_of(model.outputs):
        fields = {field: _value(model.outputs[tensor][0], [1]) for field, tensor in objects.fields.items()}
        if labels and model.task == "text-classification":
            fields["label"] = {"type": "string", "enum": labels}
        several: Schema = {"type": "array", "items": {"type": "object", "properties": fields}}
        return {objects.name: {"type": "array", "items": several} if model.task == "fill-mask" else several}
    if model.task in RANKED:
        fields = {"index": {"type": "integer"}, "text": {"type": "string"}, "score": {"type": "number"}}
        return {"results": {"type": "array", "items": {"type": "object", "properties": fields}}}
    return {name: _value(*model.outputs[name]) for name in outputs_of(model)}


def _value(kind: str, dims: Iterable[int]) -> Schema:
    """A tensor's value as JSON."""
    named = kind.removeprefix("TYPE_")
    word = {"STRING": "string", "BOOL": "boolean"}.get(named, "integer" if "INT" in named else "number")
    return {"type": word} if [*dims] == [1] else {"type": "array", "items": {"type": word}}


async def page(_: Request) -> Response:
    """The page to try the models on."""
    return await _html("page.html")


async def docs_page(_: Request) -> Response:
    """The document for people; it loads nothing but the document."""
    return await _html("docs.html")


async def _html(name: str) -> Response:
    """A file beside this one, which may run what is in it and ask the gateway, and nothing else."""
    text = await asyncio.to_thread(Path(__file__).with_name(name).read_text, encoding="utf-8")
    return HTMLResponse(text, headers={"content-security-policy": _POLICY, "cache-control": "no-cache"})
