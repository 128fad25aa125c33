"""A route of the gateway: who may ask, how many at once, how a refusal looks, what is counted."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tbgen.export.errors import UserError
from tbgen.server.gateway.body import Form, json_response
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.no_answer import ErrorShape, NoAnswer

Handler = Callable[[Gateway, Request], Awaitable[Response]]
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Counters:
    """What Prometheus reads of the gateway."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter("tbgen_gateway_requests", "requests by status", ("path", "status"), registry=own)
        self.seconds = Histogram(
            "tbgen_gateway_seconds", "from a request to its answer", ("path",), buckets=_BUCKETS, registry=own
        )
        self.in_flight = Gauge("tbgen_gateway_in_flight", "requests that are being answered", registry=own)


class GatewayRoute(Route):
    """A route that the OpenAPI document tells of: its handler's first line, and the forms that its body may have."""

    summary: str
    forms: tuple[type[Form], ...]


def endpoint(path: str, handler: Handler, shape: ErrorShape, *forms: type[Form], method: str = "POST") -> GatewayRoute:
    """A route whose refusals have a shape. What asks models takes a turn; what only looks does not."""
    takes_turn = method == "POST"

    async def serve(request: Request) -> Response:
        gateway: Gateway = request.app.state.gateway
        counters: Counters = request.app.state.counters
        began = time.perf_counter()
        try:
            _check_key(request, gateway.settings.keys)
            if not takes_turn:
                response = await handler(gateway, request)
            elif gateway.in_flight >= gateway.settings.requests:
                raise NoAnswer(
                    429, f"{gateway.in_flight} requests are being answered, no more at once: ask again later"
                )
            else:
                with gateway.turn(), counters.in_flight.track_inprogress():
                    response = await handler(gateway, request)
        except (NoAnswer, UserError) as error:
            refused = error if isinstance(error, NoAnswer) else NoAnswer(400, error.message)
            said = shape(refused.status, refused.message)
            response = await json_response(said, status=refused.status, headers=refused.headers)
        counters.requests.labels(path, response.status_code).inc()
        counters.seconds.labels(path).observe(time.perf_counter() - began)
        return response

    route = GatewayRoute(path, serve, methods=[method])
    route.summary, route.forms = (handler.__doc__ or "").partition("\n")[0], forms
    return route


def _check_key(request: Request, keys: frozenset[str]) -> None:
    """Raise NoAnswer unless the client has one of the keys; all are compared, so that no time tells of them."""
    if not keys:
        return
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    known = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
    if kind.lower() != "bearer" or not any(known):
        raise NoAnswer(401, "no key, or a wrong one; send it as: Authorization: Bearer KEY")
