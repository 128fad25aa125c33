"""A tritonserver whose Python models see another Python than the tests': only numpy in it, and a POSIX locale."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy

from tbgen.server.client.connection import Connection
from tbgen.server.embedded.leftovers import SHARED_MEMORY
from tbgen.server.embedded.log import explanation
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.process import ServerProcess
from tbgen.server.embedded.wheel import assemble_backends, installed_wheel, server_environment
from tests.hashed import by_hash
from tests.once import locked
from tests.waiting import wait_until

CACHE = Path(__file__).parents[2] / ".cache"
POSIX_LOCALE = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ASK = """
import json, sys, sysconfig
print(json.dumps([f"{sys.version_info[0]}.{sys.version_info[1]}", sysconfig.get_config_var("LIBDIR"),
                  sysconfig.get_config_var("INSTSONAME")]))
"""


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """A Python with a shared library, such as a stub of Triton needs: its version, its library's folder."""

    python: Path
    version: str
    library: Path


def interpreter(python: Path) -> Interpreter | None:
    """What is known of a Python; None for one that does not run or has no shared library."""
    done = subprocess.run([python, "-I", "-c", ASK], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    version, folder, name = json.loads(done.stdout)
    return Interpreter(python, version, Path(folder)) if (Path(folder) / name).exists() and ".so" in name else None


def interpreters() -> dict[str, Interpreter]:
    """The Pythons 3.10 to 3.12 of this machine, by version: the running one, pyenv's, those on the PATH."""
    places = [Path(sys.executable)]
    for version in ("3.10", "3.11", "3.12"):
        places += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        places += [folder / f"python{version}" for folder in map(Path, ("/usr/local/bin", "/usr/bin"))]
    found = filter(None, (interpreter(place) for place in places if place.exists()))
    chosen: dict[str, Interpreter] = {}
    for each in found:
        chosen.setdefault(each.version, each)
    return chosen


def numpy_only(of: Interpreter) -> Path:
    """A virtual environment of that Python with numpy and nothing else, kept from one run to the next."""
    folder = CACHE / f"numpy-{numpy.__version__}-{of.version}"
    python = folder / "bin" / "python"
    CACHE.mkdir(exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not (folder / "complete").exists():
            subprocess.run([of.python, "-m", "venv", "--clear", "--without-pip", folder], check=True)
            pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *by_hash("numpy", numpy.__version__, folder)], check=True)
            (folder / "complete").touch()
    return python


def end(process: ServerProcess, prefix: str) -> None:
    """Kill a server, and remove the shared memory that it leaves."""
    process.stop(0)
    for left in SHARED_MEMORY.glob(f"{prefix}*"):
        left.unlink()


@contextmanager
def bare_server(
    repository: Path, of: Interpreter, folder: Path, prepare: Callable[[Path], object] = lambda _: None
) -> Iterator[Connection]:
    """A connection to a server that runs Python models on that Python, with only numpy, in a POSIX locale.

    `prepare` is given the backend directory before the server starts.
    """
    found = installed_wheel()
    stub = found.stub.parents[1] / of.version / found.stub.name
    wheel = dataclasses.replace(found, stub=stub, libraries=(found.libraries[0], of.library))
    assemble_backends(wheel, folder / "backends")
    prepare(folder / "backends")
    environment = server_environment(wheel) | POSIX_LOCALE
    environment["PATH"] = f"{numpy_only(of).parent}:/usr/bin:/bin"
    http, grpc = free_ports(2)
    prefix = f"{folder.name}-{grpc}"
    command = [
        str(wheel.server),
        f"--model-repository={repository}",
        f"--backend-directory={folder / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        "--allow-metrics=false",
        *("--http-address=127.0.0.1", "--grpc-address=127.0.0.1", f"--http-port={http}", f"--grpc-port={grpc}"),
    ]
    process = ServerProcess(command, environment=environment, log=folder / "triton.log", folder=folder)
    try:
        log = folder / "triton.log"
        wait_until(lambda: process.ended() or f"127.0.0.1:{grpc}" in log.read_text(encoding="utf-8"))
        assert not process.ended(), explanation(log.read_text(encoding="utf-8"))
        with Connection(f"127.0.0.1:{grpc}") as connection:
            yield connection
    finally:
        end(process, prefix)
