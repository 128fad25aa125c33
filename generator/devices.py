"""The devices that models are served on: whose settings they get."""

from __future__ import annotations

from importlib.util import find_spec

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


def tensorrt_here() -> bool:
    """Whether TensorRT can run a plan on a GPU of this machine."""
    return device_here() == GPU and find_spec("tensorrt") is not None
