"""Time a plan as a model of Python runs it: `python -m benchmarks.gpu.plan_times PLAN`, where TensorRT is installed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.bare import columns_of
from benchmarks.table import Row, row_of, show
from tbgen.export.tensorrt.session import PlanSession

WARM, REPEATS = 20, 200


def rows(plan: Path) -> list[Row]:
    """Milliseconds at each profile's largest shape, with and without CUDA graphs."""
    found = []
    for graphs in (False, True):
        session = PlanSession(plan, graphs=graphs)
        for texts, tokens in (profile.most for profile in session.profiles.values()):
            device, wall = plan_times(session, texts, tokens)
            what = f"{texts}x{tokens}{', CUDA graph' * graphs}: ms that a caller waits (on the GPU {device:.2f})"
            found.append(row_of(what, [wall]))
    return found


def plan_times(session: PlanSession, texts: int, tokens: int) -> tuple[float, float]:
    """Milliseconds, medians: on the GPU with the copies, and as a caller waits for `run`."""
    inputs = columns_of(np.random.default_rng(0).integers(10, 500, (texts, tokens), dtype=np.int32))
    for _ in range(WARM):
        session.run(inputs)
    device, wall = [], []
    for _ in range(REPEATS):
        start = session.stream.event()
        session.begin(texts, tokens)
        end = session.stream.event()
        session.stream.wait()
        device.append(session.stream.milliseconds(start, end))
    for _ in range(REPEATS):
        began = time.perf_counter()
        session.run(inputs)
        wall.append((time.perf_counter() - began) * 1000)
    return median(device), median(wall)


if __name__ == "__main__":
    show(sys.argv[1], rows(Path(sys.argv[1])))
