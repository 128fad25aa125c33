"""The tokenizer model, asked for 16 texts at a time, beside a bare loop of `encode_batch` over the same groups."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.bare import bare_rate
from benchmarks.load import load, triton_requests
from benchmarks.models import export_of_shape
from benchmarks.table import Row, row_of
from benchmarks.texts import lines
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import server_on_free_ports

LINES, GROUP, CLIENTS = 400, 16, 4
TARGET = 0.6


def rows(*, seconds: float, rounds: int) -> list[Row]:
    """Texts a second of the tokenizer model over the bare loop's, the median of rounds."""
    exported, texts = export_of_shape("tiny", "packed"), lines(LINES)
    groups = [texts[start : start + GROUP] for start in range(0, LINES, GROUP)]
    requests = triton_requests("tiny_tokenizer", groups, "input_ids")
    loop = partial(encoding_loop, exported.tokenizer, groups)
    with tempfile.TemporaryDirectory() as folder:
        scaffold(Request("tiny", exported.folder), Path(folder))
        with server_on_free_ports(Path(folder)) as server:
            ratios = []
            for _ in range(rounds):
                found = load(server.http_url, requests, clients=CLIENTS, seconds=seconds, warmup=2)
                served = found["answered"] * GROUP / found["seconds"]
                ratios.append(served / bare_rate(loop, seconds))
    what = f"tokenizer model, {CLIENTS} clients of {GROUP} texts, over a bare encode_batch of {GROUP}; {served:,.0f}/s"
    return [row_of(what, ratios, least=TARGET)]


def encoding_loop(file: Path, groups: list[list[str]]) -> Iterator[int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    for group in itertools.cycle(groups):
        tokenizer.encode_batch(group)
        yield len(group)
