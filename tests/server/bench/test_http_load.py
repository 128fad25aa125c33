"""The load generator over HTTP sends what is due, however late the machine lets it look at its clock."""

from __future__ import annotations

import socket

from tbgen.server.bench.answers import Checker
from tbgen.server.bench.http_load import HttpLoad
from tbgen.server.bench.tally import Order, Tally, Ticker


class Jumping(Ticker):
    """A clock that stands before the end of the load at first, then far behind it."""

    def now(self) -> float:
        self.looks = getattr(self, "looks", 0) + 1
        return -1.0 if self.looks == 1 else 0.1 if self.looks < 4 else 10.0 + self.looks


def test_what_was_due_in_a_moment_that_the_machine_held_up_is_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        order = Order(
            "http", f"127.0.0.1:{server.getsockname()[1]}", False, [b"GET / HTTP/1.1\r\n\r\n"], [{}], 0.0, 1, 0.5, 0.0,
            timeout=2.0, schedule=[0.4],
        )  # fmt: skip
        tally = Tally()
        HttpLoad(order, Checker("http", [{}], 0.0), tally).run(Jumping(0.0, tally, lambda *_: None))
        connection, _ = server.accept()
        with connection:
            assert connection.recv(3) == b"GET"
    assert tally.failed == {"no answer within 2 s": 1}
