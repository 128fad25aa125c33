"""Writing a folder whole or not at all."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tbgen.export.errors import UserError

FULL = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
}


@contextmanager
def whole_folder(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `target` that takes its name at the end; on any error or Ctrl-C nothing is left.

    An existing `target` is replaced only with `force`. Raises UserError for one that exists and for a full disk.
    """
    if target.exists() and not force:
        raise UserError(f"{str(target)!r} exists; choose another folder, or replace it with --force")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()  # its own folder: a temporary directory is closed to other users, the target should not be
        try:
            yield new
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise UserError(f"{FULL[error.errno]}; nothing was written to {str(target)!r}") from error
        if target.exists():
            target.rename(old)
        new.rename(target)


def copy_files(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy those of the named files that are there."""
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
