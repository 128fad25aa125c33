"""What several tests read, made once for a run, however many processes it is spread over."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

WORKER = "PYTEST_XDIST_WORKER"  # what pytest-xdist sets in its processes, whose folders lie beside one another


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of that name, which `make` fills the first time; nobody writes into it afterwards."""
    base = factory.getbasetemp()
    folder = (base.parent if WORKER in os.environ else base) / "once" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make(folder / "new")
            (folder / "new").rename(folder / "made")
    return folder / "made"
