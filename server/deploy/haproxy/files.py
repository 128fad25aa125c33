"""HAProxy before several servers of one repository: its configuration, and the Lua that reads requests.

HAProxy's language has no library of typed objects that is kept, so the configuration is a template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from tbgen.export.errors import UserError
from tbgen.generator.addresses import GRPC, HTTP, LISTEN
from tbgen.generator.calls import configs_in
from tbgen.generator.client_code import DEADLINE
from tbgen.generator.models.config import ModelConfig, configs_from_repository
from tbgen.generator.names import check_addressable
from tbgen.generator.repository import refuse_empty_repository
from tbgen.generator.request import Request
from tbgen.generator.role import front_names
from tbgen.server.deploy.places import host_and_ports
from tbgen.server.deploy.questions import questions_of

HAPROXY_CONFIG, _LUA = "haproxy.cfg", "requests.lua"
PROXY_METRICS = 8405  # the port of HAProxy's own metrics
_FOLDER = Path(__file__).parent
_TEXT = 1024  # bytes of a text in a full batch
_CONNECTIONS = 256  # of a server: its HTTP side loses answers beyond 278 a thread (docs/explanation/reliability.md)
# Bytes of a body: room for a long text; and what HAProxy keeps of each request, to send it again, is a copy of a whole
# buffer, however short the request: 0.05 ms of CPU for 64 KiB, 0.2 for 256, 0.5 for 1 MiB (docs/how-to/fleet.md).
_LEAST, _MOST = 64 << 10, 256 << 10
_HEADERS = 16 << 10  # what HAProxy keeps beside a body
_QUEUE = int(Request.queue)  # seconds that a request waits for a server, as for a model's turn
_COMPUTE = 2  # seconds for the answer to a probe whose turn has come
_CHECK = (
    "  http-check connect\n"
    "  http-check send meth POST uri /v2/models/{name}/infer ver HTTP/1.1 hdr Host triton "
    "hdr Content-Type application/json body '{body}'\n"
    "  http-check expect rstring '\"outputs\":|ask again later'"
)


@dataclass(frozen=True)
class ServerPlace:
    """A server behind HAProxy: its host, and its ports of HTTP and gRPC."""

    host: str
    http: int
    grpc: int


def server_place(text: str) -> ServerPlace:
    """The server that HOST or HOST:PORT:PORT names, by default on Triton's own ports. Raises UserError."""
    found = host_and_ports(text, HTTP, GRPC)
    if not found:
        raise UserError(
            f"{text!r} is no server: write HOST, whose ports are {HTTP} and {GRPC}, or HOST:PORT:PORT, that of HTTP "
            "first"
        )
    return ServerPlace(found[0], *found[1])


def haproxy_files(repository: Path, servers: Sequence[str]) -> dict[str, str]:
    """The files by name, for servers as `server_place` reads them. Raises UserError."""
    refuse_empty_repository(repository)
    places = [server_place(text) for text in servers]
    if twice := next((text for text in servers if list(servers).count(text) > 1), None):
        raise UserError(f"the server {twice} is named twice; name each once")
    configs = configs_from_repository(repository)
    fronts = {name: configs[name] for name in front_names(configs_in(repository), repository)}
    for name in fronts:
        check_addressable(name)
    values = _values(places, fronts, questions_of(repository, configs))
    template = Template((_FOLDER / f"{HAPROXY_CONFIG}.txt").read_text(encoding="utf-8"))
    return {HAPROXY_CONFIG: template.substitute(values), _LUA: (_FOLDER / _LUA).read_text(encoding="utf-8")}


def _values(
    servers: Sequence[ServerPlace], fronts: Mapping[str, ModelConfig], questions: Mapping[str, Any]
) -> dict[str, Any]:
    """What the template is filled with."""
    rows = max(max(config.max_batch_size, 1) for config in fronts.values())
    body = min(max(_LEAST, rows * _TEXT), _MOST)
    numbered = list(enumerate(servers, 1))
    return {
        "http": HTTP,
        "grpc": GRPC,
        "listen": LISTEN,
        "metrics": PROXY_METRICS,
        "count": f"{len(servers)} server{'s' * (len(servers) > 1)}",
        "body": body,
        "buffer": body + _HEADERS,
        "deadline": DEADLINE,
        "queue": _QUEUE,
        "probe": _QUEUE + _COMPUTE,
        "names": f"({'|'.join(re.escape(name) for name in fronts)})",
        "words": " ".join(fronts),
        "checks": "\n".join(_CHECK.format(name=name, body=_quoted(body)) for name, body in questions.items()),
        "connections": min(2 * rows, _CONNECTIONS),
        "http_servers": "\n".join(f"  server triton{i} {each.host}:{each.http}" for i, each in numbered),
        "grpc_servers": "\n".join(
            f"  server triton{i} {each.host}:{each.grpc} track http/triton{i}" for i, each in numbered
        ),
    }


def _quoted(question: Any) -> str:
    """A request in JSON, between the single quotes of HAProxy, in which nothing ends them."""
    return json.dumps(question).replace("'", "\\u0027")
