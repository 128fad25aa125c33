"""uvicorn's HTTP, whose requests' first lines and headers must be short and come soon."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 512 << 10  # with what is read at once beside them, as the end of a body; the parser would keep all
HEAD_SECONDS = 10.0  # from the first byte to the last of the headers


class BoundedHeads(HttpToolsProtocol):
    """A connection that is closed where a request begins that never comes to its body."""

    head: int | None = None  # bytes so far of headers that have not ended
    late: asyncio.TimerHandle | None = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head = 0
        self.late = self.loop.call_later(HEAD_SECONDS, self.refuse, f"The headers have not come in {HEAD_SECONDS:g} s.")

    def on_headers_complete(self) -> None:
        self.over()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what came since the headers began is counted until they end."""
        super().data_received(data)
        if self.head is not None:
            self.head += len(data)
            if self.head > HEAD_BYTES:
                self.refuse(f"The headers are longer than {HEAD_BYTES} bytes.")

    def connection_lost(self, exc: Exception | None) -> None:
        self.over()
        super().connection_lost(exc)

    def refuse(self, sentence: str) -> None:
        """Close it, with a sentence unless an earlier request is still being answered."""
        self.over()
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response(sentence)
        else:
            self.transport.close()

    def over(self) -> None:
        """The headers have ended, or will not."""
        self.head = None
        if self.late:
            self.late.cancel()
        self.late = None
