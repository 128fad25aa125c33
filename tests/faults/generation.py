"""What writes models, run where it can be killed at a stated moment: the n-th thing that it does to the disk."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export import exchange
from tbgen.export.errors import UserError
from tbgen.export.ready.onnx_file import export_from_onnx
from tbgen.generator.repository import content_of
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.update import apply, requests_from_records, update_of_request
from tbgen.server.deploy.deploy import deploy, deployment_plan
from tbgen.server.deploy.folder_store import FolderStore

# What Python tells its audit hooks of before it changes a disk.
_CHANGES = {
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "shutil.copyfile",
}
FOLDER, SOURCE, OUTSIDE = "place", "source", "outside"  # beside each other: what is written, what from, a person's
_NEW_MOUNTS, _NEW_USER, _PRIVATE, _DEEP = 0x20000, 0x10000000, 1 << 18, 1 << 14  # of unshare(2), of mount(2)
_CONTEXT = multiprocessing.get_context("forkserver")
_MODULES = (
    "onnx",
    "onnxruntime",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.tokenization_bert",
)
_CONTEXT.set_forkserver_preload([__name__, *_MODULES])


def scaffolded(home: Path) -> None:
    """The models of a checkpoint, over those of another."""
    scaffold(Request("shop", home / SOURCE, vendor=False), home / FOLDER, force=True, comparing=False)


def updated(home: Path) -> None:
    """Models anew, with what a person has in them."""
    for request, models in requests_from_records(home / FOLDER, "shop", None):
        with update_of_request(request, home / FOLDER, models=models) as update:
            apply(update)


def deployed(home: Path) -> None:
    """Models into the repository of a server."""
    with FolderStore(home / FOLDER) as store:
        deploy(deployment_plan(home / SOURCE, store), store)


def exported(home: Path) -> None:
    """A ready ONNX file as an export, over another."""
    export_from_onnx(home / SOURCE / "model.onnx", home / SOURCE, home / FOLDER, force=True)


WRITERS: dict[str, Callable[[Path], None]] = {
    writer.__name__: writer for writer in (scaffolded, updated, deployed, exported)
}


@dataclass
class _Moments:
    """Counts what a process does to the disk; at the last moment it is no more."""

    last: int
    seen: int = 0

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What Python calls of every event."""
        written = event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in "wax"
        if written or event in _CHANGES:
            self.count()

    def count(self, *_: Any) -> None:
        """One more."""
        self.seen += 1
        if self.seen == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def _run(writer: str, home: Path, last: int, largest: int, said: Any) -> None:
    """Write, in a process of its own: as far as the moment `last`, no file larger than `largest` bytes."""
    moments, move = _Moments(last), exchange._renameat2
    exchange._renameat2 = lambda *names: (moments.count(), move(*names))[1]
    sys.addaudithook(moments.hook)
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    try:
        WRITERS[writer](home)
        outcome = ""
    except (UserError, OSError) as error:
        outcome = str(getattr(error, "message", error))
    said.send((moments.seen, outcome))


class Run:
    """A writer at work in a process of its own; last: the moment at which it is killed, 0: never."""

    def __init__(self, writer: str, home: Path, *, last: int = 0, largest: int = 0) -> None:
        self.said, said = _CONTEXT.Pipe(duplex=False)
        self.process = _CONTEXT.Process(target=_run, args=(writer, home, last, largest, said))
        self.process.start()
        said.close()

    def result(self) -> tuple[int, str] | None:
        """How many moments it had, and what it complained about; None where it was killed."""
        try:
            found: tuple[int, str] | None = self.said.recv()
        except EOFError:
            found = None
        self.process.join()
        assert (found is None) == (self.process.exitcode == -signal.SIGKILL)
        return found

    def killed_after(self, seconds: float) -> bool:
        """Kill it then, if it is still at work; whether it was."""
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        return self.process.exitcode == -signal.SIGKILL


def contents(home: Path) -> dict[str, dict[str, str]]:
    """What is written, by what comes and goes as one: a model; in a server's repository a version, a shared file."""
    parts = 2 if (home / SOURCE / "shop_onnx").is_dir() else 1 if (home / FOLDER / "shop_onnx").is_dir() else 0
    found: dict[str, dict[str, str]] = {}
    for entry in sorted((home / FOLDER).rglob("*")):
        name = entry.relative_to(home / FOLDER)
        if entry.is_symlink() or not entry.is_dir() or not any(entry.iterdir()):
            found.setdefault("/".join(name.parts[:parts]), {})[str(name)] = content_of(entry)
    return found


def on_a_full_disk(writer: str, home: Path, room: int) -> tuple[str, bool] | None:
    """Write on a disk that has so many bytes left: what it complained about, and whether all is as it was.

    None where this user may not mount one.
    """
    said, saying = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_fill, args=(writer, home, room, saying))
    process.start()
    saying.close()
    try:
        return said.recv()
    except EOFError:
        return None
    finally:
        process.join()


def _fill(writer: str, home: Path, room: int, said: Any) -> None:
    """In a process of its own, which alone sees the disk."""
    libc, user = ctypes.CDLL(None, use_errno=True), os.getuid()
    if libc.unshare(_NEW_MOUNTS | (_NEW_USER if user else 0)):
        return
    if user:
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="utf-8")
    disk, before = home / "disk", contents(home)
    disk.mkdir()
    size = sum(file.lstat().st_size + 4096 for file in home.rglob("*")) + room
    if libc.mount(b"none", os.fsencode(home), None, _PRIVATE | _DEEP, None) and user:
        return
    if libc.mount(b"none", os.fsencode(disk), b"tmpfs", 0, f"size={size}".encode()):
        return
    for name in (FOLDER, SOURCE, OUTSIDE):
        shutil.copytree(home / name, disk / name, symlinks=True)
    try:
        WRITERS[writer](disk)
        outcome = ""
    except (UserError, OSError) as error:
        outcome = str(getattr(error, "message", error))
    as_before = contents(disk) == before and {entry.name for entry in disk.iterdir()} == {FOLDER, SOURCE, OUTSIDE}
    said.send((outcome, as_before))
