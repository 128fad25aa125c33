"""What the command line costs over a bare interpreter: `tbgen --help`, and scaffold of the sample from its export."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import Row, row_of

TBGEN = [sys.executable, "-m", "tbgen.cli.main"]
RUNS = 7
TARGETS = (("help", "tbgen --help", 0.15), ("scaffold", "scaffold of the sample from its export", 1.0))


def rows() -> list[Row]:
    """Medians of interleaved runs, in seconds over a bare interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        export, repository = Path(folder) / "export", Path(folder) / "model_repository"
        subprocess.run(
            [*TBGEN, "export", "onnx", "--source", "generator/samples/kcbert", "-o", export],
            check=True,
            capture_output=True,
        )
        commands = {
            "bare": [sys.executable, "-c", "pass"],
            "help": [*TBGEN, "--help"],
            "scaffold": [*TBGEN, "scaffold", "kcbert", "--source", str(export), "-r", str(repository)],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS + 1):
            for name, command in commands.items():
                shutil.rmtree(repository, ignore_errors=True)
                times[name].append(seconds_of(command))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    return [
        row_of(f"{what}, s over a bare interpreter", [medians[name] - medians["bare"]], most=most)
        for name, what, most in TARGETS
    ]


def seconds_of(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
