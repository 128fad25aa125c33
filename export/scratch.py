"""Temporary folders beside what they are for: each is locked while its run lives, and so found when that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tbgen.export.errors import UserError

JOURNAL = ".tbgen-journal"  # in one whose run had begun to rename: it is finished before it is removed
_OWNER = ".tbgen-owner"  # the first file of one and the last: a lock on it goes with its process, however that ends
_MOUNTS = Path("/proc/self/mountinfo")  # fifth in a line: where, with spaces and the like as \\040
_PREFIX = "tbgen-scratch-"


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A temporary folder in the folder that `target` will be in. Raises UserError where that cannot be."""
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(temporary_folder(target.parent, prefix_beside(target)))
        except OSError as error:
            raise UserError(f"cannot write to {str(target.parent)!r}: {error.strerror}") from error
        yield folder


def prefix_beside(target: Path) -> str:
    """How the names of the temporary folders beside a target begin."""
    return f".{target.name}.tbgen-"


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder where the system has them."""
    with temporary_folder(Path(tempfile.gettempdir()), _PREFIX) as folder:
        yield folder


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder that is gone at the end; those that killed runs have left there under the prefix go first."""
    sweep_folders(parent, prefix)
    folder, lock = _locked_folder(parent, prefix)
    try:
        yield folder
    finally:
        remove_folder(folder)
        os.close(lock)


def sweep_folders(parent: Path, prefix: str) -> None:
    """Remove the temporary folders whose runs are gone and had nothing left to finish."""
    for left in abandoned_folders(parent, prefix):
        if not (left / JOURNAL).exists():
            remove_folder(left)


@contextmanager
def alone_in(repository: Path, *, reading: bool = False) -> Iterator[None]:
    """Wait until no other run puts models into a repository, and let none begin in the block.

    reading: others may read meanwhile, too.
    """
    folder = os.open(repository, os.O_RDONLY)
    try:
        _lock(folder, fcntl.LOCK_SH if reading else fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def abandoned_folders(parent: Path, prefix: str) -> Iterator[Path]:
    """The temporary folders under a prefix whose runs are gone, each locked while it is looked at."""
    for folder in sorted(parent.glob(f"{glob.escape(prefix)}*")):
        lock = None if folder.is_symlink() else _claimed(folder)  # no run makes a link, and it may lead anywhere
        if lock is not None:
            try:
                yield folder
            finally:
                os.close(lock)


def remove_folder(folder: Path) -> None:
    """Remove a temporary folder; what says whose it is goes last, so that a kill in between leaves it to the next run.

    So does what cannot be removed: NFS keeps files that a server has open.
    """
    for entry in folder.iterdir():
        if entry.name != _OWNER:
            with contextlib.suppress(OSError):
                remove_entry(entry)
    if {entry.name for entry in folder.iterdir()} <= {_OWNER}:
        (folder / _OWNER).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()


def refuse_closed(folder: Path) -> None:
    """Raise UserError for a folder, if it is there, that this user could not move away, and remove with all in it."""
    if not folder.is_dir():
        return
    for place in _closed_places(folder):
        raise UserError(
            f"you may not write to {str(place)!r}, or not list it, and what is in {str(folder)!r} is to be "
            "replaced; mend its permissions, or have its owner remove it"
        )
    if mount := next(_mounts_in(folder), None):
        raise UserError(
            f"{str(mount)!r} is a mount, and what is in {str(folder)!r} is to be replaced; unmount it, or name another "
            "place"
        )


def _closed_places(folder: Path) -> Iterator[Path]:
    """The folders that hold what a folder is, and what is in it, and that this user may not change, or not list."""
    mine, unseen = os.geteuid(), list[OSError]()
    walk = os.walk(folder, onerror=unseen.append)
    for place in (folder.parent, *(Path(each) for each, *entries in walk if any(entries))):
        may_open = place not in (folder, folder.parent) and place.stat().st_uid == mine
        if not (may_open or os.access(place, os.W_OK | os.X_OK)):
            yield place
    yield from (Path(error.filename) for error in unseen if not isinstance(error, FileNotFoundError))


def _mounts_in(folder: Path) -> Iterator[Path]:
    """What is mounted on a folder, and on what is in it, as far as the kernel tells."""
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_bytes().splitlines():
            place = Path(os.fsdecode(re.sub(rb"\\(\d{3})", lambda found: bytes([int(found[1], 8)]), line.split()[4])))
            if place.is_relative_to(folder.resolve()):
                yield place


def remove_entry(entry: Path) -> None:
    """Remove a file, a link, or a folder with all in it, write-protected ones too; links are not followed."""
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink()
        return
    try:
        shutil.rmtree(entry)
    except PermissionError:
        entry.chmod(0o700)
        for place, folders, _ in os.walk(entry):
            for name in folders:
                if not Path(place, name).is_symlink():
                    Path(place, name).chmod(0o700)
        shutil.rmtree(entry)


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new folder and the descriptor of its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with contextlib.suppress(FileNotFoundError):  # another run took it for abandoned before it was locked
            lock = os.open(folder / _OWNER, os.O_CREAT | os.O_RDWR, 0o600)
            _lock(lock, fcntl.LOCK_EX)
            if _is_open(folder / _OWNER, lock):
                return folder, lock
            os.close(lock)


def _claimed(folder: Path) -> int | None:
    """The lock of a folder whose run is gone; None for another's, and for an empty one, which is removed."""
    try:
        lock = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        with contextlib.suppress(OSError):  # killed before it was locked; a living run takes another
            folder.rmdir()
        return None
    except OSError:  # another user's, or no folder
        return None
    if _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) and _is_open(folder / _OWNER, lock):
        return lock
    os.close(lock)
    return None


def _lock(file: int, how: int) -> bool:
    """Lock an open file; False where another process has, and where the file system knows no locks."""
    try:
        fcntl.flock(file, how)
    except OSError:
        return False
    return True


def _is_open(path: Path, file: int) -> bool:
    """Whether a path still names the file of a descriptor."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
