"""Files and folders: read with a sentence for what is wrong, written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.exchange import put_in_place
from tbgen.export.interrupt import interrupted_once
from tbgen.export.reading import bytes_from_file, refuse_special
from tbgen.export.scratch import abandoned_folders, beside, prefix_beside

EXPORT_RECORD = "export.json"  # in the folder of an export, what was done
ENGINE_SUFFIXES = (".onnx", ".plan", ".data")  # of an engine's file, and of weights that lie beside it
_LARGEST = 1 << 40  # bytes of a file whose hash is taken
_OLD = "old"  # in a temporary folder, what stood where the new folder comes
_LEAST_ROOM = 1 << 16  # bytes; a disk with less is full
_FULL: dict[int | None, str] = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
}


@contextmanager
def whole_folder(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `target` that takes its name at the end; on any error or Ctrl-C nothing is left.

    An existing `target` is replaced only with `force`, and only if it is empty or an export. Raises UserError for one
    that exists and for a full disk.
    """
    target = target.resolve() if target.is_symlink() else target  # a link stays one
    _refuse_to_replace(target, force=force)
    for left in abandoned_folders(target.parent, prefix_beside(target)):  # killed where two names cannot be exchanged
        if (left / _OLD).exists() and not target.exists():
            (left / _OLD).rename(target)
    with interrupted_once(), beside(target) as scratch:
        new = scratch / "new"
        new.mkdir()  # its own folder: a temporary directory is closed to other users, the target should not be
        try:
            yield new
        except Exception as error:
            if reason := _FULL.get(error.errno if isinstance(error, OSError) else None) or _filled(scratch):
                raise UserError(f"{reason}; nothing was written") from error
            raise
        _refuse_to_replace(target, force=force)  # another run may have come first
        put_in_place(new, target, scratch / _OLD)


def _refuse_to_replace(target: Path, *, force: bool) -> None:
    """Raise UserError for a folder that is there, but with `force` for what is neither empty nor an export."""
    if target.exists() and not force:
        raise UserError(f"{str(target)!r} exists; choose another folder, or replace it with --force")
    if target.exists() and not (target.is_dir() and ((target / EXPORT_RECORD).is_file() or not any(target.iterdir()))):
        raise UserError(f"{str(target)!r} is no export, so --force does not replace it; choose another folder")
    entries = sorted(target.iterdir()) if target.exists() else []
    foreign = [entry.name for entry in entries if entry.is_symlink() or not (entry.is_file() and _is_part(entry.name))]
    if foreign:
        raise UserError(
            f"{str(target)!r} holds what is no part of an export and would be lost: {', '.join(foreign[:5])}; move it "
            "elsewhere, or choose another folder"
        )


def _is_part(name: str) -> bool:
    """Whether a file of that name may be one that an export wrote."""
    return name.endswith((*ENGINE_SUFFIXES, ".json")) or name == "vocab.txt"


def _filled(scratch: Path) -> str:
    """Why no more can be written to a temporary folder; empty where more can.

    Writers in C++ do not say so: their files end too early, and what reads them next fails in its own words.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if any(file.stat().st_size >= limit > 0 for file in scratch.rglob("*")):
        return _FULL[errno.EFBIG]
    places = (scratch, Path(tempfile.gettempdir()))
    return _FULL[errno.ENOSPC] if any(shutil.disk_usage(place).free < _LEAST_ROOM for place in places) else ""


def write_whole(file: Path, content: bytes | memoryview, *, runnable: bool = False) -> None:
    """Write a file whole or not at all: beside its place, then renamed there. A link stays one. Raises UserError.

    It is open to those to whom the file was open in whose place it comes; runnable: who may read it may run it.
    """
    place = file.resolve()
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if place.exists() and not place.is_file():  # such as /dev/stdout
        file.write_bytes(content)
        return
    try:
        with beside(place) as folder:
            new = folder / "new"
            new.write_bytes(content)
            if place.exists():
                copy_access(place, new)
            if runnable:
                new.chmod(new.stat().st_mode | (new.stat().st_mode & 0o444) >> 2)
            new.replace(place)
    except OSError as error:
        raise UserError(f"{file} could not be written: {error.strerror}") from error


def copy_access(standing: Path, new: Path) -> None:
    """Give a file or folder the owner, as far as this user may, the group and the mode of the one that it replaces."""
    stat = standing.stat()
    for owner, group in ((-1, stat.st_gid), (stat.st_uid, -1)):
        with suppress(OSError):
            os.chown(new, owner, group)
    shutil.copymode(standing, new)


def copy_files(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy those of the named files that are there, which are small. Raises UserError for one that is not."""
    for name in names:
        if (source / name).is_file():
            (target / name).write_bytes(bytes_from_file(source / name))


def write_json(path: Path, value: dict[str, Any]) -> None:
    """JSON as this project writes it: sorted, readable Korean, a newline at the end."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """The hash of a file's bytes. Raises UserError for a pipe, and for over a terabyte, as a hole may have."""
    refuse_special(path)
    found = hashlib.sha256()
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > _LARGEST:
            raise UserError(f"{str(path)!r} has more than {_LARGEST >> 40} TB; put the file in its place again")
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
