"""The GPUs of a server under load: how busy they are, how much of their memory is taken."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tbgen.server.bench.metrics import metrics_page
from tbgen.server.client.address import Address, is_local

_METRIC = re.compile(r"^nv_gpu_(utilization|memory_used_bytes)\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class GpuUse:
    """busy: share of the time in which a kernel ran, the mean of all GPUs. memory: bytes taken, of all of them."""

    busy: float
    memory: float
    gpus: int = 1


class Gpus:
    """The GPUs that a server has: as NVML sees them where it is on this machine and nvidia-ml-py is here, else Triton.

    Args:
        address: of the server; None: none is asked.
        metrics: address of its metrics page, if that is at hand.
    """

    def __init__(self, address: Address | None, metrics: str | None = None) -> None:
        self.metrics = metrics
        self.seen: list[GpuUse] = []
        self.handles: Sequence[object] = ()
        with contextlib.suppress(Exception):  # no package, no driver, no GPU: then Triton may tell
            if address and is_local(address.place):
                import pynvml

                pynvml.nvmlInit()
                self.handles = [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())]

    def look(self) -> None:
        """See how busy they are just now."""
        if not self.handles:
            return
        import pynvml

        busy = [pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100 for handle in self.handles]
        memory = sum(pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in self.handles)
        self.seen.append(GpuUse(sum(busy) / len(busy), memory, len(busy)))

    def use(self) -> GpuUse | None:
        """The mean of the looks and the most memory, else what the metrics say of their last moments; None: nothing."""
        if self.seen:
            busy, memory = sum(use.busy for use in self.seen) / len(self.seen), max(use.memory for use in self.seen)
            return GpuUse(busy, memory, len(self.handles))
        if not self.metrics:
            return None
        try:
            return gpu_use_from_text(metrics_page(self.metrics))
        except (OSError, ValueError):
            return None


def gpu_use_from_text(text: str) -> GpuUse | None:
    """What a metrics page says; None where it says nothing of GPUs."""
    found = [(name, float(value)) for name, value in _METRIC.findall(text)]
    busy = [value for name, value in found if name == "utilization"]
    memory = sum(value for name, value in found if name != "utilization")
    return GpuUse(sum(busy) / len(busy), memory, len(busy)) if busy else None


def gpu_text(use: GpuUse | None) -> str:
    """For people: 45 %, 1,234 MB."""
    return f"{use.busy:.0%}, {use.memory / 1e6:,.0f} MB" if use else "-"
