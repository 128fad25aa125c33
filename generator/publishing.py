"""Models into a repository, all or none: staged beside it, put in place, and finished after a kill in between."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.exchange import put_in_place
from tbgen.export.interrupt import interrupted_once
from tbgen.export.reading import json_from_file
from tbgen.export.scratch import (
    JOURNAL,
    abandoned_folders,
    alone_in,
    beside,
    prefix_beside,
    refuse_closed,
    remove_folder,
)
from tbgen.export.values import A_SWITCH, FILE_NAME, damage_of, list_of, whole
from tbgen.generator.repository import MODEL_RECORD, entries_of

_ASIDE = ".replaced"  # in a staging folder: the models that stood in the repository, where they were renamed away first
_JOURNAL_RULES = {
    **dict.fromkeys(("models", "stood"), list_of(FILE_NAME)),
    "inodes": list_of(whole(0, 1 << 64)),
    "back": A_SWITCH,
}


@dataclass(frozen=True)
class Journal:
    """What a run is about to put in place: models in order, the folders' inode numbers, and into which way.

    stood: those of them that stood in the repository before.
    """

    models: tuple[str, ...]
    inodes: tuple[int, ...]
    stood: tuple[str, ...]
    back: bool = False

    def new(self, name: str, folder: Path) -> bool:
        """Whether a folder is the new model of that name; a rename leaves the inode as it is."""
        inode = self.inodes[self.models.index(name)]
        return os.path.lexists(folder) and folder.lstat().st_ino == inode


@contextmanager
def staging_folder(repository: Path) -> Iterator[Path]:
    """A temporary folder beside the repository, on its disk, gone at the end whatever happens. Raises UserError.

    What a killed run has left beside the repository is finished first.
    """
    place = repository.resolve()  # a link may lead to another disk, and nothing is moved in whole from disk to disk
    if place.is_mount():
        raise UserError(
            f"{repository} is a mount point, into which nothing can be moved whole; name a folder in it, or write "
            f"elsewhere and bring it there with: tbgen deploy copy REPOSITORY {shlex.quote(str(repository))}"
        )
    finish_interrupted(place)
    with interrupted_once(), beside(place) as staging:
        try:
            yield staging
        finally:
            _settle(staging, place)  # where putting models back failed, or was interrupted itself


def publish(
    staging: Path, repository: Path, names: Iterable[str], still_right: Callable[[], None] = lambda: None
) -> None:
    """Put the staged model folders into the repository, in order; on a failure put back what stood there.

    After a kill in between the next `staging_folder` or `finish_interrupted` does the rest. One run at a time: others
    wait. still_right: asked then, since what stands may have changed since it was looked at; raises where it has.
    Raises UserError for a model that is a link.
    """
    models = tuple(names)
    repository.mkdir(parents=True, exist_ok=True)
    with alone_in(repository):
        _refuse_links(repository, models)
        for name in models:
            refuse_closed(repository / name)
        still_right()
        (staging / _ASIDE).mkdir()
        stood = tuple(name for name in models if (repository / name).exists())
        journal = Journal(models, tuple((staging / name).stat().st_ino for name in models), stood)
        _write_journal(staging, journal)
        try:
            _move_in(staging, repository, models)
        except BaseException:
            _write_journal(staging, replace(journal, back=True))
            _put_back(staging, repository, journal)
            (staging / JOURNAL).unlink()
            raise
        (staging / JOURNAL).unlink()


def finish_interrupted(repository: Path) -> tuple[str, ...]:
    """Finish what killed runs had begun to put into the repository, and remove what they left beside it.

    Returns the models that came or went. What a living run stages, and what may not be touched, is left alone.
    """
    place = repository.resolve()
    moved: list[str] = []
    for staging in abandoned_folders(place.parent, prefix_beside(place)):
        moved += _settle(staging, place)
        remove_folder(staging)
    return tuple(moved)


def _settle(staging: Path, repository: Path) -> list[str]:
    """Do what the journal of a staging folder says and is not done yet; the models that came or went."""
    if not ((staging / JOURNAL).exists() and repository.is_dir()):
        return []
    with alone_in(repository):
        journal = _read_journal(staging)
        if journal is None:  # not of a kill: it is written whole
            moved = _put_back_aside(staging, repository)
        elif journal.back:
            moved = _put_back(staging, repository, journal)
        else:
            waiting = [name for name in journal.models if journal.new(name, staging / name)]
            moved = _move_in(staging, repository, [name for name in waiting if not _taken(staging, repository, name)])
        (staging / JOURNAL).unlink()
    return moved


def _write_journal(staging: Path, journal: Journal) -> None:
    """Write the journal, whole."""
    unnamed = staging / f"{JOURNAL}.new"
    unnamed.write_text(json.dumps(asdict(journal)), encoding="utf-8")
    unnamed.rename(staging / JOURNAL)


def _read_journal(staging: Path) -> Journal | None:
    """The journal of a staging folder; None for one that says nothing."""
    try:
        values = json_from_file(staging / JOURNAL)
    except (OSError, UserError):
        return None
    if damage_of(values, _JOURNAL_RULES, {}) or len(values["models"]) != len(values["inodes"]):
        return None
    models, inodes, stood = (tuple(values[key]) for key in ("models", "inodes", "stood"))
    return Journal(models, inodes, stood, values["back"])


def _move_in(staging: Path, repository: Path, names: Iterable[str]) -> list[str]:
    """Put staged models into the repository, those that stand there where they were; the names."""
    moved = []
    for name in names:
        put_in_place(staging / name, repository / name, staging / _ASIDE / name)
        moved.append(name)
    return moved


def _put_back(staging: Path, repository: Path, journal: Journal) -> list[str]:
    """Undo what was moved in; the names. It may be done in part already."""
    moved = []
    for name in reversed(journal.models):
        if journal.new(name, repository / name):
            moved.append(name)
            if name not in journal.stood:
                (repository / name).rename(staging / name)
            elif (staging / name).exists():  # what stood there, exchanged
                put_in_place(staging / name, repository / name, staging / _ASIDE / name)
            else:
                put_in_place(staging / _ASIDE / name, repository / name, staging / name)
    return moved + _put_back_aside(staging, repository)


def _put_back_aside(staging: Path, repository: Path) -> list[str]:
    """Put models back that were renamed away and whose place is empty; their names."""
    aside = staging / _ASIDE
    models = sorted(aside.iterdir()) if aside.is_dir() and not aside.is_symlink() else []
    moved = [model.name for model in models if not (repository / model.name).exists()]
    for name in moved:
        (aside / name).rename(repository / name)
    return moved


def _refuse_links(repository: Path, names: Iterable[str]) -> None:
    """Raise UserError for a model, or its record, that is a link: what takes its place is none."""
    for link in (repository / place for name in names for place in (name, f"{name}/{MODEL_RECORD}")):
        if link.is_symlink():
            raise UserError(
                f"{link} is a link to {link.readlink()}, and would be replaced; put what it leads to in its place, or "
                "name the repository that it lies in"
            )


def _taken(staging: Path, repository: Path, name: str) -> bool:
    """Whether a person has put a model in the place of a staged one, or edited it there, since the journal began."""
    began = (staging / JOURNAL).stat().st_mtime_ns
    entries = entries_of(repository / name).values() if (repository / name).exists() else ()
    edited = any(entry.lstat().st_ctime_ns > began for entry in entries)
    return edited or ((repository / name).exists() and (staging / _ASIDE / name).exists())
