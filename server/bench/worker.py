"""A process that makes load: takes an Order, says when it is ready, runs at the given time, sends back its Tally.

Started by tbgen.server.bench.workers as `python -m tbgen.server.bench.worker FILE_DESCRIPTOR`.
"""

from __future__ import annotations

import gc
import sys
from multiprocessing.connection import Connection
from typing import Any

from tbgen.server.bench.answers import Checker
from tbgen.server.bench.http_load import HttpLoad
from tbgen.server.bench.tally import Order, Tally, Ticker


def _main(descriptor: int) -> None:
    with Connection(descriptor) as parent:
        order: Order = parent.recv()
        tally = Tally()
        try:
            load = _load_from_order(order, tally)
        except OSError as error:
            parent.send(("failed", f"no connection to {order.url}: {error.strerror or error}"))
            return
        parent.send(("ready", None))
        gc.freeze()  # pauses of the collector would count as the server's
        gc.set_threshold(50_000, 50, 100)
        load.run(Ticker(parent.recv(), tally, lambda answered, wrong: parent.send(("progress", (answered, wrong)))))
        parent.send(("done", tally))


def _load_from_order(order: Order, tally: Tally) -> Any:
    """The load of an order's protocol, connected. Raises OSError."""
    checker = Checker(order.protocol, order.expected, order.tolerance)
    if order.protocol == "http":
        return HttpLoad(order, checker, tally)
    from tbgen.server.bench.grpc_load import GrpcLoad  # a fifth of a second that HTTP workers save

    return GrpcLoad(order, checker, tally)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
