"""`tbgen doctor`: which parts of this machine are there, and what each would enable."""

from __future__ import annotations

from collections.abc import Iterator

from tbgen.server.doctor.devices import driver_part, library_parts
from tbgen.server.doctor.host import host_parts
from tbgen.server.doctor.packages import package_parts
from tbgen.server.doctor.part import WORKS, MachinePart
from tbgen.server.doctor.runtime import runtime_parts


def parts_of_machine() -> Iterator[MachinePart]:
    """All parts, each when it has been looked at: packages, the embedded server, GPUs, ONNX Runtime."""
    yield from package_parts()
    yield from host_parts()
    driver = driver_part()
    yield driver
    yield from library_parts()
    yield from runtime_parts(gpu=driver.state == WORKS)
