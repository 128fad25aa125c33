"""Load on a server over HTTP from the compiled generator load.c, so that the client is not what is measured."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import CACHE
from tbgen.server.bench.wire import http_request

SOURCE = Path(__file__).with_name("load.c")


def generator() -> Path:
    """The compiled generator, built anew when its source is newer."""
    program = CACHE / "load"
    if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, SOURCE], check=True)
    return program


def load(
    url: str, requests: Iterable[bytes], *, clients: int, seconds: float, warmup: float = 0, rate: float | None = None
) -> dict[str, Any]:
    """What load.c measured: answered, refused, others, unsent, seconds, p50_ms, p90_ms, p99_ms, max_ms, refused_p50_ms,
    refused_p99_ms, after_seconds (from the end to the last answer of an open loop), cpu_seconds.

    requests: whole HTTP requests, sent in turn. rate: so many are due in a second, at most `clients` in flight, and
    some may be refused. Raises RuntimeError with load.c's words when a connection of a closed loop breaks, when a
    request is not answered with 200, and when none is answered in time.
    """
    host, _, port = url.partition(":")
    with tempfile.NamedTemporaryFile() as file:
        file.writelines(struct.pack("<I", len(body)) + body for body in requests)
        file.flush()
        command = [str(generator()), host, port, str(clients), str(seconds), str(warmup), file.name]
        command += [str(rate)] if rate else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    found: dict[str, Any] = json.loads(done.stdout)
    wrong = found["others"] + (0 if rate else found["refused"])
    if wrong or not found["answered"]:
        raise RuntimeError(f"in {seconds:g} s {found['answered']} requests were answered, {wrong} refused")
    return found


def json_request(path: str, body: Any) -> bytes:
    """An HTTP request that posts `body` as JSON."""
    content = json.dumps(body, ensure_ascii=False).encode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return f"POST {path} HTTP/1.1\r\nHost: peer\r\n{kind}".encode() + content


def answer_to(url: str, request: bytes) -> Any:
    """The JSON answer to one of load.c's requests. Raises RuntimeError unless its status is 200, within a minute."""
    host, _, port = url.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(request)
            response = http.client.HTTPResponse(connection)
            response.begin()
            body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise RuntimeError(f"{url} gave no answer: {error}") from error
    if response.status != 200:
        raise RuntimeError(f"{url} answered {response.status}: {body[:500]!r}")
    return json.loads(body)


def triton_requests(model: str, groups: Iterable[Sequence[str]], output: str = "label") -> list[bytes]:
    """HTTP requests: each group of texts to a model's `input_text`, one output asked for, binary both ways."""
    return [http_request(model, {"input_text": texts_array(group)}, "triton", (output,)) for group in groups]


def texts_array(texts: Sequence[str]) -> np.ndarray:
    """(texts, 1) array of UTF-8 bytes."""
    return np.array([[text.encode()] for text in texts], dtype=object)
