"""A model repository in a folder: versions appear by atomic renames, and go by them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.files import copy_access, sha256
from tbgen.export.reading import text_from_file
from tbgen.export.scratch import alone_in, refuse_closed, sweep_folders, temporary_folder
from tbgen.generator.kept import keep_entry
from tbgen.generator.originals import text_of
from tbgen.generator.repository import CONFIG, MODEL_RECORD
from tbgen.generator.steps.load import STEPS_FILE
from tbgen.server.deploy.release import (
    MARKER,
    UNCOMPARED,
    ModelVersion,
    Store,
    TargetModel,
    Undo,
    config_of,
    hashes_of,
    serves_several,
    version_files,
    versions_among,
)

_STAGING = ".tbgen-deploy-"  # how the name of the folder of what is to come begins


class FolderStore(Store):
    """A model repository in a folder, as a context manager. New files lie elsewhere until one rename shows them.

    Beside it if that is the same disk. Else in it, where a polling server takes every folder for a model: deep enough
    that it finds no version there, and says so in its log.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UserError(f"no folder {str(root)!r}; a target is the model repository of a server")
        self.root = root.resolve()

    def __enter__(self) -> FolderStore:
        near = self.root.parent.stat().st_dev == self.root.stat().st_dev and os.access(self.root.parent, os.W_OK)
        for place in (self.root.parent, self.root):
            sweep_folders(place, _STAGING)
        self.stack = ExitStack()
        self.stack.enter_context(alone_in(self.root))  # before it is looked at: two would give one number twice
        self.staging = self.stack.enter_context(temporary_folder(self.root.parent if near else self.root, _STAGING))
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def standing(self, model: str) -> TargetModel:
        folder = self.root / model
        _refuse_link(folder)
        _refuse_other(folder, is_folder=True)
        if not folder.is_dir():
            return TargetModel()
        versions, versioned, shared = version_files(folder)
        config = text_from_file(shared[CONFIG]) if CONFIG in shared else None
        steps = text_of(versioned[STEPS_FILE]) if STEPS_FILE in versioned else None
        return TargetModel(versions, config, hashes_of(versioned), hashes_of(shared, but=UNCOMPARED), steps)

    def publish(self, release: ModelVersion, version: int, keep: int, undo: list[Undo]) -> None:
        """The record, the new version, its shared files; the oldest versions go first; each is in `undo` before.

        A record is not compared, so it comes before what is: after a kill in between the next deployment goes on.
        """
        folder = self.root / release.name
        _refuse_other(folder / str(version), is_folder=None)
        new = self.staging / f"{release.name}-{version}"
        if not folder.exists():
            _write_files(new / str(version), release.versioned)
            _write_files(new, release.shared)
            undo.append(partial(self.remove, folder))
            new.rename(folder)
            return
        _write_files(new, release.versioned)
        if MODEL_RECORD in release.shared:
            self.replace_shared(folder, MODEL_RECORD, release.shared[MODEL_RECORD], undo)
        self.prune(folder, keep, undo)
        undo.append(partial(self.remove, folder / str(version)))
        new.rename(folder / str(version))
        for name, file in sorted(release.shared.items(), key=lambda item: (item[0] == CONFIG, item[0])):
            self.replace_shared(folder, name, file, undo)

    def replace_shared(self, folder: Path, name: str, file: Path, undo: list[Undo]) -> None:
        """Put one shared file in place by a rename, unless it is there already."""
        target, before = folder / name, self.staging / f"{folder.name}-before" / name
        there = target.is_file()
        if target.is_dir() if file.is_dir() else there and sha256(target) == sha256(file):
            return
        parents = target.parents[: len(Path(name).parts) - 1]
        for place in (target, *parents):
            _refuse_link(place)
            _refuse_other(place, is_folder=place in parents or file.is_dir())
        if missing := [parent for parent in parents if not parent.exists()]:
            undo.append(partial(self.remove, missing[-1]))
            target.parent.mkdir(parents=True)
        if there:
            before.parent.mkdir(parents=True, exist_ok=True)
            keep_entry(target, before)
        new = self.staging / f"{folder.name}-next" / name
        _write_files(new.parent, {new.name: file})
        if there:
            copy_access(target, new)
        undo.append(partial(_move_back, new, before, target) if there else partial(self.remove, target))
        new.replace(target)

    def prune(self, folder: Path, keep: int, undo: list[Undo]) -> None:
        """Remove old versions, so that with one more there are `keep`; none where several are served."""
        config = folder / CONFIG
        if config.is_file() and serves_several(config_of(folder.name, text_from_file(config))):
            return
        for version in versions_among(each.name for each in folder.iterdir() if each.is_dir())[: 1 - keep]:
            place, gone = folder / str(version), self.staging / f"{folder.name}-{version}-gone"
            refuse_closed(place)
            undo.append(partial(_move, gone, place))
            _move(place, gone)

    def remove(self, entry: Path) -> None:
        """Take a file or a folder away in one rename."""
        _move(entry, Path(tempfile.mkdtemp(dir=self.staging)) / "gone")


def _move(entry: Path, place: Path) -> None:
    """Rename what is there; a step that was interrupted may not have put it there."""
    if entry.exists():
        entry.rename(place)


def _move_back(new: Path, before: Path, target: Path) -> None:
    """Rename what stood there to its place, unless the new one was never moved there."""
    if not new.exists():
        before.replace(target)


def _refuse_link(entry: Path) -> None:
    """Raise UserError for a link in the target: it would be replaced, or written through."""
    if entry.is_symlink():
        raise UserError(
            f"{entry} is a link to {entry.readlink()}, which is neither replaced nor followed; put what it leads to in "
            "its place, or deploy into the repository that it lies in"
        )


def _refuse_other(entry: Path, *, is_folder: bool | None) -> None:
    """Raise UserError where the target has something else of a name than what comes: a folder, a file, or nothing."""
    expected = {True: Path.is_dir, False: Path.is_file, None: lambda _: False}[is_folder]
    if os.path.lexists(entry) and not expected(entry):
        raise UserError(f"{entry} is in the way of what is deployed, and not of its kind; move it elsewhere")


def _write_files(folder: Path, files: Mapping[str, Path]) -> None:
    """Copy files and empty folders (relative name -> where they are) into a folder; one without gets a marker."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        place = folder / name
        (place if file.is_dir() else place.parent).mkdir(parents=True, exist_ok=True)
        if file.is_file():
            shutil.copyfile(file, place)
            place.chmod(place.stat().st_mode | file.stat().st_mode & 0o111)  # a program stays one
    if not files:
        (folder / MARKER[0]).write_text(MARKER[1], encoding="utf-8")
