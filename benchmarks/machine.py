"""What this machine is, and what its host took from it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, as Linux says it."""
    rows = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((row.partition(": ")[2] for row in rows if row.startswith("model name")), platform.machine())


def steal() -> float:
    """Seconds that the host took from this machine's processors so far."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")
