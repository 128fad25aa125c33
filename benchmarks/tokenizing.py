"""The tokenizer model alone, asked for 16 texts at a time, beside a bare loop of `encode_batch` over the same groups.

`python -m benchmarks.tokenizing TOKENIZER SECONDS` is the bare loop: it waits for a line on standard input, encodes,
and prints the texts and the seconds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.load import load, save_requests, triton_requests
from benchmarks.models import export_of_shape
from benchmarks.table import Row
from benchmarks.texts import lines
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import server_on_free_ports

LINES, GROUP, CLIENTS = 400, 16, 4
TARGET = 0.6


def groups() -> list[list[str]]:
    """The texts, 16 to a request."""
    texts = lines(LINES)
    return [texts[start : start + GROUP] for start in range(0, LINES, GROUP)]


def rows(*, seconds: float, rounds: int) -> list[Row]:
    """Texts a second of the tokenizer model over the bare loop's, the median of rounds."""
    exported = export_of_shape("tiny", "packed")
    with tempfile.TemporaryDirectory() as folder:
        requests = Path(folder) / "requests"
        save_requests(triton_requests("tiny_tokenizer", groups(), "input_ids"), requests)
        scaffold(Request("tiny", exported.folder), Path(folder) / "model_repository")
        with server_on_free_ports(Path(folder) / "model_repository") as server:
            ratios = []
            for _ in range(rounds):
                found = load(server.http_url, requests, clients=CLIENTS, seconds=seconds, warmup=2)
                served = found["answered"] * GROUP / found["seconds"]
                ratios.append(served / bare_rate(exported.tokenizer, seconds))
    ratio = statistics.median(ratios)
    what = f"tokenizer model, {CLIENTS} clients of {GROUP} texts, over a bare encode_batch of {GROUP}; {served:,.0f}/s"
    return [Row(what, ratio, f">= {TARGET}", ratio >= TARGET, " ".join(f"{value:.2f}" for value in ratios))]


def bare_rate(tokenizer: Path, seconds: float) -> float:
    """Texts a second of a process that only encodes."""
    command = [sys.executable, "-m", "benchmarks.tokenizing", str(tokenizer), str(seconds)]
    done = subprocess.run(command, check=True, input="\n", capture_output=True, text=True)
    texts, took = done.stdout.split()
    return int(texts) / float(took)


def main() -> None:
    """The bare loop."""
    from tokenizers import Tokenizer

    tokenizer, seconds, asked = Tokenizer.from_file(sys.argv[1]), float(sys.argv[2]), groups()
    for group in asked:
        tokenizer.encode_batch(group)
    sys.stdin.readline()
    began, texts = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        tokenizer.encode_batch(asked[texts // GROUP % len(asked)])
        texts += GROUP
    print(texts, time.perf_counter() - began)


if __name__ == "__main__":
    main()
