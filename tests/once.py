"""What several tests read, made once for a run, however many processes it is spread over."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WORKER = "PYTEST_XDIST_WORKER"  # what pytest-xdist sets in its processes, whose folders lie beside one another


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of that name, which `make` fills the first time; nobody writes into it afterwards."""
    base = factory.getbasetemp()
    folder = (base.parent if WORKER in os.environ else base) / "once" / name
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        if not (folder / "made").exists():
            new = folder / str(os.getpid())  # where one process fails, another may still try
            make(new)
            new.rename(folder / "made")
    return folder / "made"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Let no two processes into a block at once."""
    with file.open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
