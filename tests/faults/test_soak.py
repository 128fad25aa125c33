"""Every graph that each task has, on one server at once, at 80 % of what it answers, for half an hour."""

from __future__ import annotations

import itertools
import os
import re
import statistics
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import transformers

from benchmarks.load import load
from benchmarks.memory import sample
from tbgen.server.bench.wire import http_request
from tests.fidelity.cases import CASES
from tests.fidelity.cells import EVERY, Cell, scaffolded, tensors_of
from tests.fidelity.made import written
from tests.serving import serving

MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
SLICE = 15.0  # seconds of one figure
CLIENTS = 16
# The first case of each task, as a BERT has it.
CELLS = [Cell("bert", next(rows), "packed") for _, rows in itertools.groupby(CASES, key=lambda case: CASES[case].task)]
REFUSED = re.compile(r'^tbgen_step_count{(?=.*count="refused").*model="([^"]+)".* ([1-9].*)$', re.MULTILINE)


def stolen() -> float:
    """Seconds of the processors that the machine's host gave to others."""
    return int(Path("/proc/stat").read_text(encoding="ascii").split()[8]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.soak
def test_nothing_fails_and_nothing_grows(tmp_path: Path) -> None:
    wanted = []
    for number, cell in enumerate(CELLS):
        row, name = cell.row, f"cell{number}"
        checkpoint = written(tmp_path / name, cell.family, row.auto, row.labels, row.encoder, **row.settings)
        items = list(row.items(transformers.AutoTokenizer.from_pretrained(checkpoint)).values())
        models = scaffolded(cell, checkpoint, tmp_path / "models", EVERY, name).values()
        wanted += [[http_request(model, tensors_of([item]), "triton") for item in items] for model in models]
    requests = [request for group in itertools.zip_longest(*wanted) for request in group if request]
    with serving(tmp_path / "models", log=tmp_path / "triton.log") as server:
        load(server.http_url, requests, clients=CLIENTS, seconds=2 * SLICE)  # memory pools fill
        closed = load(server.http_url, requests, clients=CLIENTS, seconds=SLICE)
        rate = 0.8 * closed["answered"] / closed["seconds"]
        found, memory, lost = [], [], [stolen()]
        for _ in range(round(MINUTES * 60 / SLICE)):
            found.append(load(server.http_url, requests, clients=256, seconds=SLICE, rate=rate))
            memory.append(sample(server, sum(each["answered"] for each in found)))
            lost.append(stolen())
        with urllib.request.urlopen(server.metrics_url, timeout=60) as metrics:
            refusing = REFUSED.findall(metrics.read().decode())
    quarter = max(1, len(found) // 4)
    start, end = (statistics.median(each["p99_ms"] for each in part) for part in (found[:quarter], found[-quarter:]))
    slope = np.polyfit([each.requests for each in memory], [each.resident for each in memory], 1)[0] * 1e5
    sizes = [round(each.resident) for each in memory]
    print(f"\n{len(wanted)} front models of {len(CELLS)} tasks, {MINUTES:g} min")
    print(f"{rate:.0f} requests/s of {rate / 0.8:.0f}")
    print(f"{memory[-1].requests} answered, {sum(each['refused'] for each in found)} refused")
    print(
        f"refused in slices of {SLICE:g} s:", {at: each["refused"] for at, each in enumerate(found) if each["refused"]}
    )
    print("refusing models:", *(f"{model} {float(times):.0f}" for model, times in refusing))
    print(f"processor seconds lost to others in slices of {SLICE:g} s:", *np.diff(lost).round(1).tolist())
    print(f"p99 of slices of {SLICE:g} s, ms:", *(round(each["p99_ms"]) for each in found))
    print(f"p99 {start:.0f} ms at the start, {end:.0f} at the end ({end / start:.2f})")
    print(f"resident {sizes[0]} MB, {min(sizes)} to {max(sizes)}, slope {slope:.1f} MB for 100,000 requests")
    print(f"shared memory {memory[0].shared:.1f} to {memory[-1].shared:.1f} MB")
    assert not any(each["refused"] or each["unsent"] for each in found)
