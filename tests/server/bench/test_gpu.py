"""GPU use in the tables of bench, tune and verify: NVML's where the server is here, else what Triton's metrics say."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from tbgen.server.bench.gpu import Gpus, GpuUse, gpu_text, gpu_use_from_text
from tbgen.server.client.address import Address

HERE, ELSEWHERE = Address("localhost:8000", "http"), Address("gpu.example.com:8000", "http")
PAGE = """\
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5
nv_gpu_utilization{gpu_uuid="GPU-2"} 0.1
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 150754820096
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 2e9
nv_gpu_memory_used_bytes{gpu_uuid="GPU-2"} 1000000000
nv_inference_count{model="m",version="1"} 7
"""


def test_what_triton_says_of_its_gpus() -> None:
    assert gpu_use_from_text(PAGE) == GpuUse(0.3, 3e9, gpus=2)
    assert gpu_use_from_text("nv_inference_count{} 7\n") is None
    assert (gpu_text(GpuUse(0.3, 3e9)), gpu_text(None)) == ("30%, 3,000 MB", "-")


def test_without_a_gpu_and_without_metrics_nothing_is_said() -> None:
    gpus = Gpus(ELSEWHERE)
    gpus.look()
    assert gpus.use() is None


def test_nvml_is_asked_where_the_server_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, nvml = iter((0, 50, 100)), ModuleType("pynvml")
    nvml.nvmlInit = lambda: None  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetCount = lambda: 1  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetHandleByIndex = lambda at: f"gpu {at}"  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetUtilizationRates = lambda _: SimpleNamespace(gpu=next(busy))  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetMemoryInfo = lambda _: SimpleNamespace(used=10**9)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    gpus = Gpus(HERE)
    for _ in range(3):
        gpus.look()
    assert gpus.use() == GpuUse(0.5, 10**9)
    elsewhere = Gpus(ELSEWHERE)
    elsewhere.look()
    assert elsewhere.use() is None
