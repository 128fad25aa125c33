"""The folder of a server, and what a killed one leaves behind: the next one removes it, with its shared memory.

A folder holds a lock that the server and the processes of its models keep for as long as one of them runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "tbgen-server-"
_LOCK = "lock"
SHARED_MEMORY = Path("/dev/shm")


def locked_folder() -> tuple[Path, int]:
    """A new folder and the descriptor of its lock, to be handed to the server's process."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    descriptor = os.open(folder / f".{_LOCK}", os.O_CREAT | os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (folder / f".{_LOCK}").rename(folder / _LOCK)  # from now on others may look whether it is held
    return folder, descriptor


def remove(folder: Path) -> None:
    """Remove a server's folder, and the shared memory that bears its name."""
    for left in SHARED_MEMORY.glob(f"{glob.escape(folder.name)}*"):
        left.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Remove what servers have left whose processes are all gone."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # held, or just removed
            if lock.parent.lstat().st_uid != os.getuid():  # who may hope that what is ours goes
                continue
            descriptor = os.open(lock, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(lock.parent)
            finally:
                os.close(descriptor)
