"""Load on a server over HTTP from the compiled generator load.c, so that the client is not what is measured."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.models import CACHE

SOURCE = Path(__file__).with_name("load.c")


def generator() -> Path:
    """The compiled generator, built anew when its source is newer."""
    program = CACHE / "load"
    if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, SOURCE], check=True)
    return program


def load(url: str, requests: Path, *, clients: int, seconds: float, warmup: float) -> dict[str, Any]:
    """What load.c measured: answered, others, seconds, p50_ms, p90_ms, p99_ms, max_ms, cpu_seconds.

    Raises RuntimeError with its words when a connection breaks, when a request is not answered with 200, and when none
    is answered in time.
    """
    host, _, port = url.partition(":")
    command = [generator(), host, port, str(clients), str(seconds), str(warmup), requests]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    found: dict[str, Any] = json.loads(done.stdout)
    if found["others"] or not found["answered"]:
        raise RuntimeError(f"in {seconds:g} s {found['answered']} requests were answered, {found['others']} refused")
    return found


def save_requests(bodies: Iterable[bytes], file: Path) -> None:
    """Keep ready-made requests for load.c: each with its length before it."""
    file.write_bytes(b"".join(struct.pack("<I", len(body)) + body for body in bodies))


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
    return [triton_request(model, group, (output,)) for group in groups]


def triton_request(model: str, texts: Sequence[str], outputs: Sequence[str], *, binary_answer: bool = True) -> bytes:
    """One request in Triton's binary tensor format; its answer in the same, or in JSON."""
    raw = b"".join(struct.pack("<I", len(text)) + text for text in (text.encode("utf-8") for text in texts))
    head = {
        "inputs": [
            {
                "name": "input_text",
                "shape": [len(texts), 1],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(raw)},
            }
        ],
        "outputs": [{"name": name, "parameters": {"binary_data": binary_answer}} for name in outputs],
    }
    json_part = json.dumps(head).encode()
    return b"".join(
        (
            f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: triton\r\n".encode(),
            b"Content-Type: application/octet-stream\r\n",
            f"Inference-Header-Content-Length: {len(json_part)}\r\n".encode(),
            f"Content-Length: {len(json_part) + len(raw)}\r\n\r\n".encode(),
            json_part,
            raw,
        )
    )
