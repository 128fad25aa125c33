"""What is new in the place of what stands, in one step where the file system has one: nobody finds the place empty."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux
_renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)  # glibc has it since 2.28


def put_in_place(new: Path, target: Path, aside: Path) -> None:
    """Rename `new` to `target`, and what stands there to `new`; all on one disk.

    Where the file system cannot exchange two names (NFS), what stands there goes to `aside`, and for a moment there is
    nothing in its place.
    """
    if not os.path.lexists(target):
        new.rename(target)
    elif not _exchanged(new, target):
        try:
            target.rename(aside)
        except OSError as error:  # of which people know the one name alone
            raise OSError(error.errno, error.strerror, str(target)) from error
        new.rename(target)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two names change places, if that can be done."""
    names = (_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return _renameat2 is not None and _renameat2(*names) == 0
