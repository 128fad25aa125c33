"""The devices that models are served on: whose settings they get."""

from __future__ import annotations

from tbgen.generator.graphs import AUTO

CPU, GPU = "cpu", "gpu"
DEVICES = (AUTO, CPU, GPU)


def device_here() -> str:
    """What this machine has: `gpu` where NVIDIA's driver finds one, else `cpu`."""
    from tbgen.backends.cuda import driver
    from tbgen.backends.plan import PlanError

    try:
        driver()
    except PlanError:
        return CPU
    return GPU


def cuda_here() -> bool:
    """Whether ONNX Runtime can run on a GPU of this machine."""
    if device_here() == CPU:
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
