"""uvicorn's HTTP on so many connections at most, whose headers must be short and come soon."""

from __future__ import annotations

import asyncio
import resource
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 512 << 10  # with what is read at once beside them, as the end of a body; the parser would keep all
HEAD_SECONDS = 10.0  # from the connection, or from what comes after an answer, to the last of the headers
_MOST = 4096  # connections


class BoundedConnection(HttpToolsProtocol):
    """A connection that is closed where no request comes to its body, or others need its place."""

    most: ClassVar[int]  # connections of a server
    silent: ClassVar[dict[BoundedConnection, None]]  # those of it that have asked nothing yet, the first first
    idle: ClassVar[dict[BoundedConnection, None]]  # those that have their answer, likewise
    head: int | None = None  # bytes so far of headers that have not ended
    late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it in; beyond the most, that one gives way which has been silent longest, or idle, if those are more."""
        super().connection_made(transport)
        self.silent[self] = None
        self.expect_head()
        if len(self.connections) > self.most:
            some = self.idle if self.idle and 2 * len(self.silent) < self.most else self.silent
            longest = next(iter(some))
            del some[longest]
            longest.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head = 0

    def on_headers_complete(self) -> None:
        self.over()
        self.asks()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.answered:
            self.idle[self] = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what came since the headers began is counted until they end."""
        super().data_received(data)
        if self.answered and self.late is None:  # uvicorn has stopped its own timer, whatever it was that came
            self.expect_head()
        if self.head is not None:
            self.head += len(data)
            if self.head > HEAD_BYTES:
                self.refuse(f"The headers are longer than {HEAD_BYTES} bytes.")

    def connection_lost(self, exc: Exception | None) -> None:
        self.over()
        self.asks()
        super().connection_lost(exc)

    @property
    def answered(self) -> bool:
        """Whether no request of it is being read or answered."""
        return self.cycle is None or self.cycle.response_complete

    def expect_head(self) -> None:
        """Close it where the headers of a request do not come."""
        said = f"The headers have not come in {HEAD_SECONDS:g} s."
        self.late = self.loop.call_later(HEAD_SECONDS, self.refuse, said)

    def refuse(self, sentence: str) -> None:
        """Close it, with a sentence where a request has begun and no earlier one is still being answered."""
        begun = self.head is not None
        self.over()
        if begun and self.answered:
            self.send_400_response(sentence)
        else:
            self.transport.close()

    def over(self) -> None:
        """The headers have ended, or will not."""
        self.head = None
        if self.late:
            self.late.cancel()
        self.late = None

    def asks(self) -> None:
        """It has a request, or is gone."""
        self.silent.pop(self, None)
        self.idle.pop(self, None)


def bounded_connections() -> type[BoundedConnection]:
    """The connections of one server: half as many as the process may have files open, `_MOST` at most."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = _MOST if files == resource.RLIM_INFINITY else min(_MOST, files // 2)
    return type(BoundedConnection.__name__, (BoundedConnection,), {"most": most, "silent": {}, "idle": {}})
