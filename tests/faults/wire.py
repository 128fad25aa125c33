"""Asks a server what no client should, and judges its answers: `python -m tests.faults.wire --count 50000`.

A server that ends, an answer that never comes, a failure that is not the client's: each is kept with its number, and
`--only NUMBER` sends that request alone.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc

from tbgen.server.embedded.server import server_on_free_ports
from tests.faults.beside import HEARD, Beside
from tests.faults.wire_cases import Case, Target, case_of, targets_of
from tests.waiting import FOREVER

CLIENTS = 8
NEIGHBOURS = 2  # good requests beside each
BUNCH = 400  # requests between two looks at the server
# What a client did wrong, and a wait that ended (a parameter `timeout` of microseconds): no failure of the server's.
GRPC_FINE = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "UNIMPLEMENTED", "CANCELLED"}
HTTP_FINE = {200, 503, *range(400, 500)}
# What else a client's mistake is answered, all but the last by Triton before a model: docs/explanation/reliability.md.
LISTED = {
    "HTTP 500: the body is no JSON": r"http 500 .*failed to parse the request JSON buffer",
    "HTTP 500: a value is missing, or of another JSON type": r"http 500 .*: attempt to (access|get members)",
    "HTTP 500: not as many values as the shape says": r"http 500 .*Unable to parse 'data': Shape does not match",
    "HTTP 501: a sequence_id that is too long": r"http 501 .*string correlation ID cannot be longer",
    "HTTP 501: an unknown Content-Encoding": r"http 501 .*Unsupported compression type",
    "gRPC INTERNAL: the message is no protobuf": r"grpc INTERNAL Unable to parse request$",
    "500, INTERNAL: NaN, or what overflows, sent straight to a head": r"_postprocess: FloatingPointError: ",
}


@dataclass
class Figures:
    """What came of the requests, by protocol and status; what should not have come, by its sentence, with a number."""

    answers: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[int]] = field(default_factory=dict)
    crashes: list[int] = field(default_factory=list)
    hangs: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    beside: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the server did nothing wrong."""
        return not (self.failures or self.crashes or self.hangs or self.broken)

    def take(self, number: int, case: Case, status: str, text: str) -> None:
        """The outcome of one request."""
        self.answers[f"{case.protocol} {status}"] += 1
        if status == "hangs":
            self.hangs.append(number)
        elif status == "200" and not is_json(text):
            self.broken.append(number)
        elif not is_fine(status):
            said = f"{case.protocol} {status} {text}"
            if name := next((name for name, pattern in LISTED.items() if re.search(pattern, said, re.DOTALL)), None):
                self.listed[name] += 1
            else:
                self.failures.setdefault(family_of(said.replace(case.model, "...")), []).append(number)

    def take_neighbours(self, number: int, outcomes: Sequence[str]) -> None:
        """What came of good requests beside it: `right`, a name of HEARD, or what is wrong."""
        for said in outcomes:
            kind = said if said in ("right", *HEARD) else "wrong"
            self.beside[kind] += 1
            if kind == "wrong":
                self.failures.setdefault(f"beside: {family_of(said)}", []).append(number)


def is_fine(status: str) -> bool:
    """Whether a status is an answer, or lays a fault at the client's door."""
    return int(status) in HTTP_FINE if status.isdigit() else status in (GRPC_FINE | {"closed"})


def is_json(text: str) -> bool:
    """Whether a text is JSON, in which there is no NaN."""

    def refuse(_: str) -> None:
        raise ValueError

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


def family_of(text: str) -> str:
    """A sentence without what differs from one request to the next."""
    return re.sub(r"\d+", "N", re.sub(r"'[^']*'", "'...'", text))[:200]


class Wire:
    """A server of its own on a repository, and a way to it for several threads, as a context manager."""

    def __init__(self, repository: Path) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.server = server_on_free_ports(repository, log=Path(self.folder.name) / "log")

    def __enter__(self) -> Wire:
        self.server.start()
        self.channel = grpc.insecure_channel(self.server.grpc_url)
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.server.stop(seconds=0)
        self.folder.cleanup()

    def lives(self) -> bool:
        """Whether the server runs, and answers that it does."""
        live = self.channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        try:
            return self.server.running() and bool(live(b"", timeout=FOREVER))
        except grpc.RpcError:
            return False

    def send(self, case: Case) -> tuple[str, str]:
        """The status of a request and what was said with it."""
        return self.send_grpc(case) if case.protocol == "grpc" else self.send_http(case)

    def send_http(self, case: Case) -> tuple[str, str]:
        """POST the body as it is; a server that closes the connection without a word has refused it."""
        connection = http.client.HTTPConnection(self.server.http_url, timeout=FOREVER)
        try:
            connection.putrequest("POST", case.path, skip_accept_encoding=True)
            for name, value in {**case.headers, "Content-Length": str(len(case.body))}.items():
                connection.putheader(name, value.encode("latin-1", "replace"))
            connection.endheaders(case.body)
            answer = connection.getresponse()
            return str(answer.status), json_of(answer)
        except TimeoutError:
            return "hangs", ""
        except (http.client.HTTPException, OSError) as error:
            return "closed", type(error).__name__
        finally:
            connection.close()

    def send_grpc(self, case: Case) -> tuple[str, str]:
        """Send the bytes as the message."""
        call = self.channel.unary_unary(f"/inference.GRPCInferenceService/{case.path}")
        try:
            call(case.body, timeout=FOREVER)
        except grpc.RpcError as error:
            status = error.code().name
            return ("hangs" if status == "DEADLINE_EXCEEDED" else status), error.details() or ""
        return "OK", ""


def json_of(answer: http.client.HTTPResponse) -> str:
    """The part of an answer that should be JSON; what is sent compressed, or as a stream, is taken as it is."""
    body = answer.read()
    if answer.headers.get_content_type() != "application/json" or answer.headers.get("Content-Encoding"):
        return "{}" if answer.status == 200 else body.decode("utf-8", "replace")
    length = answer.headers.get("Inference-Header-Content-Length")
    return body[: int(length) if length else None].decode("utf-8", "replace")


@dataclass
class Fuzz:
    """Sends requests by their numbers to a server on the repository, which is started again when it ends."""

    repository: Path
    seed: int = 1
    figures: Figures = field(default_factory=Figures)

    def run(self, numbers: Iterable[int]) -> Figures:
        """All these requests, several at once; what a server has ended by is found out one by one."""
        began, targets, left = time.monotonic(), targets_of(self.repository), list(numbers)
        while left:
            with (
                Wire(self.repository) as wire,
                ThreadPoolExecutor(CLIENTS) as clients,
                ThreadPoolExecutor(CLIENTS * NEIGHBOURS) as others,
            ):
                beside = Beside(f"grpc://{wire.server.grpc_url}", self.repository)
                while left and wire.lives():
                    bunch, left = left[:BUNCH], left[BUNCH:]
                    list(clients.map(partial(self.ask, wire, targets, beside, others), bunch))
                    if not wire.lives():
                        self.figures.crashes += self.culprits(targets, bunch)
        self.figures.seconds += time.monotonic() - began
        return self.figures

    def ask(self, wire: Wire, targets: list[Target], beside: Beside, others: Executor, number: int) -> None:
        """Send one request, and good ones to the same model at once, and count what came of it; a server that has ended
        is not asked.
        """
        if wire.server.running():
            case = case_of(self.seed, number, targets)
            asked = [others.submit(beside.ask, case.model) for _ in range(NEIGHBOURS)]
            self.figures.take(number, case, *wire.send(case))
            self.figures.take_neighbours(number, [each.result() for each in asked])

    def culprits(self, targets: list[Target], numbers: Sequence[int]) -> Iterator[int]:
        """Those of the requests that end a server, each sent alone after the others that did not."""
        left = list(numbers)
        while left:
            with Wire(self.repository) as wire:
                while left and wire.lives():
                    number = left.pop(0)
                    wire.send(case_of(self.seed, number, targets))
                    if not wire.lives():
                        yield number


def page(figures: Figures, count: int, seed: int) -> str:
    """The figures as Markdown."""
    rows = [
        f"{count} requests, seed {seed}, {figures.seconds:.0f} s: {len(figures.crashes)} crashes "
        f"{figures.crashes or ''}, {len(figures.hangs)} hangs {figures.hangs or ''}, {len(figures.broken)} answers "
        f"that are no JSON {figures.broken or ''}",
        f"good requests beside them: {dict(figures.beside)}",
        *(f"| {name} | {number:,} |" for name, number in sorted(figures.answers.items())),
        *(f"| listed: {name} | {number:,} |" for name, number in sorted(figures.listed.items())),
        *(f"FAILURE {name}: {len(numbers)}, as {numbers[:5]}" for name, numbers in figures.failures.items()),
    ]
    return "\n".join(rows)


def main() -> None:
    """Fuzz a repository, by default one with every task in every graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="*")
    parser.add_argument("--repository", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = asked.repository
        if repository is None:
            from tests.faults.every_task import write_every_task

            repository = write_every_task(Path(folder))
        figures = Fuzz(repository, asked.seed).run(asked.only or range(asked.count))
    print(page(figures, len(asked.only or range(asked.count)), asked.seed))
    raise SystemExit(not figures.good)


if __name__ == "__main__":
    main()
