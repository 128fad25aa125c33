"""The GPU of this machine, by the CUDA driver; an error is a sentence for the user."""

from __future__ import annotations

from ctypes import byref, c_int, create_string_buffer
from dataclasses import dataclass

from tbgen.backends.cuda import driver
from tbgen.export.errors import UserError
from tbgen.export.tensorrt.plan import plan_errors

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver describes it."""

    name: str
    compute_capability: str


def gpu(device: int = 0) -> Gpu:
    """Name and compute capability of a GPU. Raises UserError."""
    with plan_errors():
        library = driver()
    handle, name, parts = c_int(), create_string_buffer(100), (c_int(), c_int())
    if library.cuDeviceGet(byref(handle), device):
        raise UserError(f"no GPU {device} on this machine")
    library.cuDeviceGetName(name, 100, handle)
    for part, attribute in zip(parts, (_MAJOR, _MINOR), strict=True):
        library.cuDeviceGetAttribute(byref(part), attribute, handle)
    return Gpu(name.value.decode("utf-8"), f"{parts[0].value}.{parts[1].value}")
