"""The machine around the embedded server: its wheel, libpython, numpy, shared memory, large pages, ports."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tbgen.export.errors import MissingExtra, UserError
from tbgen.generator.addresses import GRPC, HTTP, LISTEN, METRICS
from tbgen.server.doctor.packages import EXTRAS
from tbgen.server.doctor.part import BROKEN, MISSING, WORKS, MachinePart
from tbgen.server.embedded.install import private_packages
from tbgen.server.embedded.leftovers import SHARED_MEMORY
from tbgen.server.embedded.ports import check_ports
from tbgen.server.embedded.wheel import (
    installed_wheel,
    is_read_by_stub,
    numpy_of_stub,
    python_library_folders,
    refuse_numpy,
    server_environment,
    version_in,
)

_SERVE = EXTRAS["server"]
_LEAST_SHARED = 64 << 20  # bytes; a container's default, of which each instance of a Python model takes 1 MiB and more
_LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_PORTS = {"HTTP": HTTP, "gRPC": GRPC, "metrics": METRICS}


def host_parts() -> Iterator[MachinePart]:
    """What the embedded server needs of the machine."""
    wheel = importlib.util.find_spec("pytriton") is not None
    yield _embedded_part(needed=wheel)
    yield _libpython_part(needed=wheel)
    yield _numpy_part(needed=wheel)
    yield _shared_memory_part()
    yield _large_pages_part()
    yield _ports_part()


def _embedded_part(*, needed: bool) -> MachinePart:
    """The wheel's tritonserver, started as far as its help."""
    name = "embedded server"
    try:
        wheel = installed_wheel()
    except UserError as error:
        if needed and not isinstance(error, MissingExtra):
            return MachinePart(name, BROKEN, error.message, _SERVE, "see the parts below")
        return MachinePart(name, MISSING, "not whole", _SERVE, error.message)
    done = subprocess.run(
        [wheel.server, "--help"], env=server_environment(wheel), capture_output=True, text=True, check=False
    )
    if "Usage" not in done.stdout + done.stderr:  # its help ends with status 1
        says = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
        return MachinePart(
            name, BROKEN, f"tritonserver does not start: {says}", _SERVE, "use a Linux with glibc 2.35 or later"
        )
    version = version_in([wheel.packages], "nvidia-pytriton")
    return MachinePart(name, WORKS, f"nvidia-pytriton {version}, tritonserver starts", _SERVE)


def _libpython_part(*, needed: bool) -> MachinePart:
    try:
        folders = python_library_folders()
    except UserError as error:
        return MachinePart("libpython", BROKEN if needed else MISSING, error.message, _SERVE, "install it as said")
    return MachinePart("libpython", WORKS, str(folders[0]) if folders else "found by the loader", _SERVE)


def _numpy_part(*, needed: bool) -> MachinePart:
    found, private, enables = numpy_of_stub(), private_packages(), "arrays, here and in Triton's Python models"
    if private and not is_read_by_stub(found):
        return MachinePart("numpy", WORKS, f"{found} here, {version_in([private], 'numpy')} for the server", enables)
    try:
        refuse_numpy(found)
    except UserError as error:
        if needed:
            return MachinePart("numpy", BROKEN, error.message, _SERVE, "do as said")
    return MachinePart("numpy", WORKS, found or "of unknown version", enables)


def _shared_memory_part() -> MachinePart:
    """/dev/shm, through which Triton's Python models are sent their tensors."""
    name, enables = "/dev/shm", "Triton's Python models: their tensors go through it"
    try:
        disk = os.statvfs(SHARED_MEMORY)
    except OSError as error:
        return MachinePart(name, BROKEN, f"{error.strerror}", enables, "mount a tmpfs there")
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    says = f"{free / 2**20:,.0f} of {size / 2**20:,.0f} MiB free"
    if free < _LEAST_SHARED:
        mend = "in a container, start it with --shm-size=1g; else remove what killed servers left in it"
        return MachinePart(name, BROKEN, says, enables, mend)
    return MachinePart(name, WORKS, says, enables)


def _large_pages_part() -> MachinePart:
    """Whether the kernel gives pages of 2 MB to who asks for them."""
    enables = "one client's answers up to 1.2 times as fast, where an engine's weights are large"
    try:
        chosen = _LARGE_PAGES.read_text(encoding="utf-8").partition("[")[2].partition("]")[0]
    except OSError:
        chosen = "not known to this kernel"
    if chosen in ("always", "madvise"):
        return MachinePart("large pages", WORKS, f"given ({chosen})", enables)
    return MachinePart("large pages", MISSING, chosen, enables, f"as root: echo madvise > {_LARGE_PAGES}")


def _ports_part() -> MachinePart:
    """The ports that tbgen serve takes by itself."""
    name, enables = "ports", "tbgen serve without naming others"
    try:
        check_ports(LISTEN, _PORTS)
    except UserError as error:
        return MachinePart(
            name, MISSING, error.message, enables, "`tbgen serve` has --http-port, --grpc-port, --metrics-port"
        )
    return MachinePart(name, WORKS, f"{', '.join(map(str, _PORTS.values()))} are free", enables)
