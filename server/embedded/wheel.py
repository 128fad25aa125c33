"""The tritonserver that the wheel nvidia-pytriton brings: where it lies, and what it needs around it to start.

Only files of the wheel are used, nothing of it is imported.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from tbgen.export.errors import MissingExtra, UserError
from tbgen.generator.local.model import GENERATOR, STANDINS
from tbgen.generator.models.shared_backend import write_backend
from tbgen.server.embedded.install import VERSION, private_folder, private_packages, refuse_python
from tbgen.server.embedded.process import ENVIRONMENT, PIPE

# A model's process would outlive a tritonserver that is killed, with its memory, for ever: it may hang in C++ with
# Python's lock, so that no thread of Python's could end it. The kernel does, when nobody holds a pipe's other end.
_END_WITH_TRITON = f"""
import fcntl, os, select, signal

def _end_with_triton(reading, writing):
    own = os.open(f"/proc/self/fd/{{reading}}", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(own, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.close(writing)
    look = select.poll()
    look.register(own, 0)
    if look.poll(0):  # it is gone already
        os.kill(os.getpid(), signal.SIGKILL)

_end_with_triton(*map(int, os.environ["{PIPE}"].split()))
"""
# Weights in pages of 2 MB where the kernel gives them when asked (THP "madvise"): fewer misses of the TLB.
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclass(frozen=True)
class Wheel:
    """A tritonserver on disk, for the running interpreter."""

    packages: Path  # where the wheel is unpacked
    server: Path  # the binary
    backend: Path  # folder of the Python backend, without its stub
    stub: Path  # the process that runs Python models, built for this interpreter's version
    programs: Path  # where the stub finds the python3 whose packages it imports
    caches: Path
    libraries: tuple[Path, ...]  # what LD_LIBRARY_PATH must hold


def installed_wheel() -> Wheel:
    """The wheel's files, all present: this environment's, or beside numpy 2 those of `tbgen server install`.

    Raises MissingExtra, UserError.
    """
    packages, programs = _packages()
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingExtra("onnxruntime", "onnx" if programs.is_relative_to(private_folder()) else "server")
    triton = packages / "pytriton" / "tritonserver"
    stubs = triton / "python_backend_stubs"
    stub = stubs / VERSION / "triton_python_backend_stub"
    if not stub.exists():
        known = ", ".join(sorted(folder.name for folder in stubs.glob("*")))
        raise UserError(f"nvidia-pytriton runs no Python models on Python {VERSION}, only on {known or 'none'}")
    libraries = (packages / "nvidia_pytriton.libs", *python_library_folders())
    return Wheel(
        packages, triton / "bin/tritonserver", triton / "backends/python", stub, programs, triton / "caches", libraries
    )


def _packages() -> tuple[Path, Path]:
    """Where the wheel is unpacked, and the folder of the python3 for its stub. Raises MissingExtra, UserError."""
    spec, found = importlib.util.find_spec("pytriton"), numpy_of_stub()
    private = private_packages()
    if private and (spec is None or not is_read_by_stub(found)):
        return private, private_folder() / "bin"
    refuse_numpy(found)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("nvidia-pytriton", "server")
    return Path(spec.submodule_search_locations[0]).parent, Path(sys.executable).parent


def numpy_of_stub() -> str:
    """The version of the numpy that Triton's Python models will import: the stub looks past PYTHONPATH. "": unknown."""
    outside = {Path(entry).absolute() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    places = [entry for entry in sys.path if Path(entry).absolute() not in outside]
    return version_in(places, "numpy")


def version_in(places: Iterable[Path | str], package: str) -> str:
    """The version of a package that is first found there; empty without one."""
    return next((each.version for each in distributions(name=package, path=[str(place) for place in places])), "")


def is_read_by_stub(numpy: str) -> bool:
    """Whether the wheel's stub reads that numpy's arrays: as numpy 1 lays them out, by its pybind11 2.10."""
    return numpy.partition(".")[0] <= "1"


def refuse_numpy(version: str) -> None:
    """Raise UserError for a numpy that the wheel's stub cannot serve.

    With every 2.x, from 2.0 to 2.5 on Python 3.10 to 3.13, it dies at the first request.
    """
    if not is_read_by_stub(version):
        refuse_python()
        raise UserError(
            f"numpy {version} stands beside {sys.executable}, and nvidia-pytriton's Python models die of numpy 2 at the"
            " first request; bring the server with a numpy of its own: tbgen server install"
        )


def python_library_folders() -> tuple[Path, ...]:
    """The folder of libpython, empty when the system's loader finds it by itself. Raises UserError."""
    name = sysconfig.get_config_var("INSTSONAME") or ""
    if not name.startswith("libpython") or ".so" not in name:  # an interpreter built without a shared library
        name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    multiarch = sysconfig.get_config_var("MULTIARCH") or "."
    configured = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    for folder in (configured, configured / multiarch, Path(sys.base_prefix) / "lib"):
        if (folder / name).exists():
            return (folder,)
    try:
        ctypes.CDLL(name)
    except OSError:
        version = name.removeprefix("lib").partition(".so")[0]
        raise UserError(
            f"{name} was not found in {configured}: Triton's Python models need it; on Debian and Ubuntu it is in the"
            f" package lib{version}, with pyenv build Python with --enable-shared"
        ) from None
    return ()


def assemble_backends(wheel: Wheel, folder: Path) -> None:
    """Lay out a backend directory: Triton's Python backend with its stub, one for each of our engines, the steps'."""
    write_backend(folder)
    python = shutil.copytree(wheel.backend, folder / "python", ignore=shutil.ignore_patterns("__pycache__"))
    with (python / "triton_python_backend_utils.py").open("a", encoding="utf-8") as imported_by_all:
        imported_by_all.write(_END_WITH_TRITON)
    shutil.copy2(wheel.stub, python)
    for engine in STANDINS.iterdir():
        if (engine / "model.py").exists():
            _lay_standin(engine, folder / engine.name)


def _lay_standin(engine: Path, folder: Path) -> None:
    """Lay a stand-in into its backend's folder, with the rulebooks that it reads."""
    shutil.copytree(engine, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(GENERATOR / "rules", folder / "rules", ignore=shutil.ignore_patterns("__pycache__", "core"))
    shutil.copy2(GENERATOR / "data_types.py", folder)


def server_environment(wheel: Wheel) -> dict[str, str]:
    """The environment that tritonserver and its stubs need: this interpreter's packages, UTF-8, large pages."""
    environment = LARGE_PAGES | os.environ | ENVIRONMENT
    before = {"PATH": (wheel.programs,), "LD_LIBRARY_PATH": wheel.libraries}
    for name, folders in before.items():
        environment[name] = os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get(name)])])
    return environment
