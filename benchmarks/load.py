"""Load on a Triton over HTTP from the compiled generator load.c, so that the client is not what is measured."""

from __future__ import annotations

import json
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
    """What load.c measured: answered, others, seconds, p50_ms, p90_ms, p99_ms, max_ms, cpu_seconds."""
    host, _, port = url.partition(":")
    command = [generator(), host, port, str(clients), str(seconds), str(warmup), requests]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def save_requests(bodies: Iterable[bytes], file: Path) -> None:
    """Keep ready-made requests for load.c: each with its length before it."""
    file.write_bytes(b"".join(struct.pack("<I", len(body)) + body for body in bodies))


def triton_requests(model: str, groups: Iterable[Sequence[str]], output: str = "label") -> list[bytes]:
    """HTTP requests: each group of texts to a model's `input_text`, one output asked for, binary both ways."""
    return [triton_request(model, group, output) for group in groups]


def triton_request(model: str, texts: Sequence[str], output: str) -> bytes:
    """One request in Triton's binary tensor format."""
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
        "outputs": [{"name": output, "parameters": {"binary_data": True}}],
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
