"""Bodies in and out: JSON within bounds, checked by a form; what takes long in a thread, so that others are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.settings import GatewaySettings

_IN_LOOP = 64 << 10  # bytes that are parsed in well under a millisecond
_VALUES_IN_LOOP = 1 << 14  # values that are turned into others in a millisecond or so
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_SLOWEST = 16 << 10  # bytes a second of a body that is longer than what comes at once
T = TypeVar("T")
FormT = TypeVar("FormT", bound="Form")


class Form(BaseModel):
    """What a body may hold; an unknown field is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


async def read_json(request: Request, settings: GatewaySettings) -> dict[str, Any]:
    """The JSON object of a body, without what is null, of which nothing is said then. Raises NoAnswer."""
    if (encoding := request.headers.get("content-encoding", "identity")).lower() != "identity":
        raise NoAnswer(415, f"no body of Content-Encoding {encoding[:40]!r} is read; send it plain")
    try:
        data = await _body(request, settings)
    except ClientDisconnect as error:
        raise NoAnswer(499, "the client has left") from error
    try:
        value = orjson.loads(data) if len(data) <= _IN_LOOP else await asyncio.to_thread(orjson.loads, data)
    except orjson.JSONDecodeError as error:
        raise NoAnswer(400, f"the body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise NoAnswer(400, "the body is no JSON object")
    return {name: each for name, each in value.items() if each is not None}


async def _body(request: Request, settings: GatewaySettings) -> bytes:
    """The bytes of a body. Raises NoAnswer for too many, and for those that come too slowly: it holds a place."""
    too_long = NoAnswer(413, f"the body is longer than {settings.body_bytes} bytes")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > settings.body_bytes:
        raise too_long
    read, began, stream = bytearray(), time.monotonic(), aiter(request.stream())
    while True:
        allowed = min(settings.seconds, settings.body_seconds + len(read) / _SLOWEST)
        try:
            read += await asyncio.wait_for(anext(stream), began + allowed - time.monotonic())
        except StopAsyncIteration:
            return bytes(read)
        except asyncio.TimeoutError as error:
            raise NoAnswer(408, f"only {len(read)} bytes of the body have come in {allowed:.1f} s") from error
        if len(read) > settings.body_bytes:
            raise too_long


def form_of(kind: type[FormT], value: Mapping[str, Any]) -> FormT:
    """A body's values by its form. Raises NoAnswer with the first that does not fit."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(each) for each in first["loc"][:2])
        if first["type"] == "extra_forbidden":
            raise NoAnswer(400, f"no field {where!r}. Fields: {', '.join(kind.model_fields)}") from error
        field = kind.model_fields.get(str(first["loc"][0]))
        if field and field.description and len(first["loc"]) > 1:  # pydantic's words are of one kind of several
            raise NoAnswer(400, f"{first['loc'][0]} takes {field.description}") from error
        raise NoAnswer(400, f"{where}: {first['msg']}") from error


async def json_response(value: Any, *, size: int = 0, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    """A value as JSON. size: how many numbers there are in it, if many."""
    return Response(await off_loop(size, _dumps, value), status, dict(headers), "application/json")


async def off_loop(size: int, work: Callable[..., T], *given: Any) -> T:
    """What the work gives; in a thread where it turns so many values into others that requests would wait for it."""
    return work(*given) if size <= _VALUES_IN_LOOP else await asyncio.to_thread(work, *given)


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=_OPTIONS)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work gives; cancelled when the client leaves, which Triton then is told. Raises NoAnswer."""
    task = asyncio.create_task(work)
    left = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise NoAnswer(499, "the client has left")
        return task.result()
    finally:
        left.cancel()
        task.cancel()


async def _left(request: Request) -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
