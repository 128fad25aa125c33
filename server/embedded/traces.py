"""Traces of requests: how tritonserver is told to send them, by OpenTelemetry's protocol over HTTP."""

from __future__ import annotations

import re

from tbgen.export.errors import UserError

_COLLECTOR = re.compile(r"https?://[^\s/,]+(/[^\s,]*)?")


def trace_arguments(collector: str | None) -> tuple[str, ...]:
    """What makes a server send a trace of each request to a collector; without one none. Raises UserError.

    collector: http://HOST:PORT, or with a path, by default OpenTelemetry's own.
    """
    if collector is None:
        return ()
    match = _COLLECTOR.fullmatch(collector)
    if not match:
        raise UserError(f"{collector!r} is no address of a collector; write it as http://localhost:4318")
    url = collector if match[1] else f"{collector}/v1/traces"
    settings = ("rate=1", "level=TIMESTAMPS", "mode=opentelemetry", f"opentelemetry,url={url}")
    return tuple(f"--trace-config={each}" for each in settings)
