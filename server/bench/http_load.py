"""HTTP load from one thread: keep-alive sockets, ready-made request bytes, epoll.

Against a server with one ready answer a process made 80,000 requests a second, tritonclient 6,000: what is measured
must not be the client.
"""

from __future__ import annotations

import functools
import select
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from tbgen.server.bench.answers import Checker
from tbgen.server.bench.tally import NOT_SENT, TICK, Order, Tally, Ticker
from tbgen.server.bench.wire import error_from_http

_RETRY = 0.1  # seconds before a broken connection is opened again
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Head:
    """What a response's head says: status, size of the body, size of the JSON part of a binary body."""

    status: int
    size: int
    json_size: int


@dataclass
class Line:
    """One connection and the request in flight on it."""

    socket: socket.socket
    index: int = 0
    intended: float = 0.0
    sent: float = 0.0
    received: bytes = b""
    busy: bool = False


class HttpLoad:
    """The lines of one worker, driven by whichever answers arrive and, in an open loop, by the schedule."""

    def __init__(self, order: Order, checker: Checker, tally: Tally) -> None:
        host, _, port = order.url.rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.order, self.checker, self.tally = order, checker, tally
        self.next_index = order.indexes()
        self.epoll = select.epoll()
        self.lines: dict[int, Line] = {}
        self.idle: deque[Line] = deque()
        self.broken: list[float] = []  # when to open each lost connection again
        self.due = 0  # position in the schedule
        self.end = order.end
        self.over = False
        for _ in range(order.clients):
            self.open_line()

    def run(self, watch: Ticker) -> None:
        """Send until the end, then wait for the answers that are still out, at most the time limit of a request."""
        time.sleep(max(0.0, -watch.now()))
        while self.goes_on(now := watch.now()):
            if watch.tick(now):
                self.time_out(now)
            if now < self.end:
                self.reopen(now)
                self.send_due(now)
            elif self.order.schedule is not None and not self.over:
                self.over = True
                self.send_due(now)  # what fell due in the last moments
            select.select([self.epoll], [], [], self.pause(now))  # it counts in microseconds, epoll in milliseconds
            for handle, _ in self.epoll.poll(0):
                self.receive(self.lines[handle], watch)
        self.close()

    def goes_on(self, now: float) -> bool:
        """Whether something is to be sent, or an answer to be waited for."""
        owing = self.order.schedule is not None and not self.over
        waiting = len(self.idle) < len(self.lines) and now < self.end + self.order.timeout
        return now < self.end or owing or waiting

    def close(self) -> None:
        """Count what was never sent or never answered, and close all lines."""
        if self.order.schedule is not None and self.due < len(self.order.schedule):
            self.tally.fail(NOT_SENT, len(self.order.schedule) - self.due)
        for line in self.lines.values():
            if line.busy:
                self.tally.fail(f"no answer within {self.order.timeout:g} s")
            line.socket.close()
        self.epoll.close()

    def pause(self, now: float) -> float:
        """How long to wait for answers at most."""
        schedule = self.order.schedule
        if schedule is None or self.due >= len(schedule) or not self.idle:
            return TICK
        return min(TICK, max(0.0, schedule[self.due] - now))

    def send_due(self, now: float) -> None:
        """Send what is due: on every idle line in a closed loop, what the schedule has reached in an open one."""
        schedule = self.order.schedule
        while self.idle:
            if schedule is None:
                self.send(self.idle.popleft(), now, now)
            elif self.due < len(schedule) and schedule[self.due] <= now:
                self.due += 1
                self.send(self.idle.popleft(), schedule[self.due - 1], now)
            else:
                return

    def send(self, line: Line, intended: float, now: float) -> None:
        line.index, line.intended, line.sent, line.busy = next(self.next_index), intended, now, True
        try:
            line.socket.sendall(self.order.requests[line.index])
        except OSError as error:
            self.lose(line, f"connection lost: {error.strerror or error}", now)

    def receive(self, line: Line, watch: Ticker) -> None:
        """Take what arrived on a line; when the answer is whole, check it and send the next request."""
        try:
            block = line.socket.recv(_BLOCK)
        except OSError as error:
            self.lose(line, f"connection lost: {error.strerror or error}", watch.now())
            return
        if not block:
            self.lose(line, "connection closed by the server" if line.busy else "", watch.now())
            return
        line.received += block
        now = watch.now()
        end = line.received.find(b"\r\n\r\n")
        if end < 0:
            return
        try:
            head = head_from_bytes(line.received[: end + 4])
        except (ValueError, IndexError):
            self.lose(line, "an answer that is no HTTP", now)
            return
        if len(line.received) >= end + 4 + head.size:
            self.take(line, head, line.received[end + 4 :], now)
            if self.order.schedule is None and now < self.end:
                self.send(line, now, now)
            else:
                self.idle.append(line)

    def take(self, line: Line, head: Head, body: bytes, now: float) -> None:
        line.received, line.busy = b"", False
        if head.status != 200:
            self.tally.fail(error_from_http(head.status, body))
        elif found := self.checker.difference(line.index, body, head.json_size):
            self.tally.change(found)
        else:
            self.tally.answer(line.index, line.intended, line.sent, now)

    def time_out(self, now: float) -> None:
        for line in list(self.lines.values()):
            if line.busy and now - line.sent > self.order.timeout:
                self.lose(line, f"no answer within {self.order.timeout:g} s", now)

    def lose(self, line: Line, sentence: str, now: float) -> None:
        """Close a line that cannot be used any more, to be opened again soon."""
        if line.busy:
            self.tally.fail(sentence)
        elif line in self.idle:
            self.idle.remove(line)
        del self.lines[line.socket.fileno()]
        line.socket.close()
        self.broken.append(now + _RETRY)

    def reopen(self, now: float) -> None:
        """Open lost connections again, each after its pause."""
        due, self.broken = [at for at in self.broken if at <= now], [at for at in self.broken if at > now]
        for _ in due:
            try:
                self.open_line()
            except OSError as error:
                self.tally.fail(f"no connection: {error.strerror or error}")
                self.broken.append(now + _RETRY)

    def open_line(self) -> None:
        """Connect one more client. Raises OSError."""
        each = socket.create_connection(self.address, timeout=self.order.timeout)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(each)
        self.lines[each.fileno()] = line
        self.idle.append(line)
        self.epoll.register(each, select.EPOLLIN)


@functools.cache
def head_from_bytes(raw: bytes) -> Head:
    """Status and sizes of a response's head, of an empty body where it has no Content-Length.

    Raises ValueError, IndexError for what is no such head.
    """
    first, *rest = raw.decode("latin-1").split("\r\n")
    fields: dict[str, Any] = {
        name.strip().lower(): value.strip() for name, _, value in (r.partition(":") for r in rest)
    }
    size = max(0, int(fields.get("content-length", 0)))
    return Head(int(first.split()[1]), size, int(fields.get("inference-header-content-length", size)))
