"""The machine that a benchmark runs on: its processor, and how busy it was, the load generator's share apart."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuTimes:
    """Seconds of CPU time of all cores together since the start of the machine."""

    busy: float
    stolen: float

    def __sub__(self, other: CpuTimes) -> CpuTimes:
        return CpuTimes(self.busy - other.busy, self.stolen - other.stolen)


@dataclass(frozen=True)
class CpuUse:
    """Who used the cores during a window; all in cores (1.0: one core all the time).

    generator: all of the load generator; busiest: its busiest process; machine: all that ran here, generator included;
    stolen: taken by the host from this virtual machine.
    """

    cores: int
    generator: float
    busiest: float
    machine: float
    stolen: float

    @property
    def share(self) -> float:
        """The generator's part of the machine's cores."""
        return self.generator / self.cores


def cpu_times() -> CpuTimes:
    """The machine's CPU times now, from /proc/stat."""
    first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal = (int(field) / _CLOCK_TICKS for field in first[:8])
    return CpuTimes(user + nice + system + irq + softirq, steal)


def busy_cores(seconds: float = 0.3, looks: int = 3) -> float:
    """Cores that are at work just now; the least of several looks, as a server that has just started needs a moment."""

    def look() -> float:
        before = cpu_times()
        time.sleep(seconds)
        return (cpu_times() - before).busy / seconds

    return min(look() for _ in range(looks))


def process_seconds(pid: int | str = "self") -> float:
    """User and system time of a process so far, from /proc; to a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
