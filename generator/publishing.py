"""Models into a repository, all or none: staged beside it, renamed in, and finished later where a kill came between."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.files import beside
from tbgen.export.interrupt import interrupted_once
from tbgen.generator.repository import files_of

_OWNER = ".tbgen-owner"  # in a staging folder, locked while its run lives: names the repository that it is for
_JOURNAL = ".tbgen-journal"  # in a staging folder, from before the first rename until after the last
_ASIDE = ".replaced"  # in a staging folder: the models that stood in the repository


@dataclass(frozen=True)
class Journal:
    """What a run is about to rename: models in order, those of them that stood there before, and into which way."""

    models: tuple[str, ...]
    stood: tuple[str, ...]
    back: bool = False


@contextmanager
def staging_folder(repository: Path) -> Iterator[Path]:
    """A temporary folder beside the repository, on its disk, gone at the end whatever happens. Raises UserError.

    What a killed run has left beside the repository is finished first.
    """
    place = repository.resolve()  # a link may lead to another disk, and nothing is moved in whole from disk to disk
    if place.is_mount():
        raise UserError(
            f"{repository} is a mount point, into which nothing can be moved whole; name a folder in it, or write "
            "elsewhere and bring it there with: tbgen deploy copy"
        )
    finish_interrupted(place)
    with interrupted_once(), beside(place) as name, _owned(Path(name), place):
        try:
            yield Path(name)
        finally:
            _settle(Path(name), place)  # where putting models back failed, or was interrupted itself


def publish(staging: Path, repository: Path, names: Iterable[str]) -> None:
    """Rename the staged model folders into the repository, in order; on a failure put back what stood there.

    After a kill in between the next `staging_folder` or `finish_interrupted` does the rest.
    """
    repository.mkdir(parents=True, exist_ok=True)
    (staging / _ASIDE).mkdir()
    models = tuple(names)
    journal = Journal(models, tuple(name for name in models if (repository / name).exists()))
    _write_journal(staging, journal)
    try:
        _move_in(staging, repository, models)
    except BaseException:
        _write_journal(staging, replace(journal, back=True))
        _put_back(staging, repository, journal)
        (staging / _JOURNAL).unlink()
        raise
    (staging / _JOURNAL).unlink()


def finish_interrupted(repository: Path) -> tuple[str, ...]:
    """Finish what killed runs had begun to rename into the repository, and remove what they left beside it.

    Returns the models that came or went. What a living run stages, and what may not be touched, is left alone.
    """
    place = repository.resolve()
    moved: list[str] = []
    for owner in sorted(place.parent.glob(f".{place.name}.*/{_OWNER}")):
        with contextlib.suppress(FileNotFoundError, PermissionError), owner.open("r+", encoding="utf-8") as file:
            if file.read() == place.name and _locked(file.fileno()):
                moved += _settle(owner.parent, place)
                shutil.rmtree(owner.parent)
    return tuple(moved)


@contextmanager
def _owned(staging: Path, place: Path) -> Iterator[None]:
    """Mark a staging folder as that of this run, until it ends: a lock goes with its process, however that ends."""
    unnamed = staging / f"{_OWNER}.new"
    with unnamed.open("w", encoding="utf-8") as file:
        file.write(place.name)
        file.flush()
        _locked(file.fileno())
        unnamed.rename(staging / _OWNER)
        yield


def _locked(file: int) -> bool:
    """Lock an open file, if no other process has; False also where the file system knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _settle(staging: Path, repository: Path) -> list[str]:
    """Do what the journal of a staging folder says and is not done yet; the models that came or went."""
    if not (staging / _JOURNAL).exists():
        return []
    values = json.loads((staging / _JOURNAL).read_text(encoding="utf-8"))
    journal = Journal(tuple(values["models"]), tuple(values["stood"]), values["back"])
    if journal.back:
        moved = _put_back(staging, repository, journal)
    else:
        waiting = [name for name in journal.models if (staging / name).exists()]
        moved = _move_in(staging, repository, [name for name in waiting if not _taken(staging, repository, name)])
    (staging / _JOURNAL).unlink()
    return moved


def _write_journal(staging: Path, journal: Journal) -> None:
    """Write the journal, whole."""
    unnamed = staging / f"{_JOURNAL}.new"
    unnamed.write_text(json.dumps(asdict(journal)), encoding="utf-8")
    unnamed.rename(staging / _JOURNAL)


def _move_in(staging: Path, repository: Path, names: Iterable[str]) -> list[str]:
    """Rename staged models into the repository, those that stand there aside; the names."""
    moved = []
    for name in names:
        if (repository / name).exists():
            (repository / name).rename(staging / _ASIDE / name)
        (staging / name).rename(repository / name)
        moved.append(name)
    return moved


def _put_back(staging: Path, repository: Path, journal: Journal) -> list[str]:
    """Undo what was moved in; the names. It may be done in part already."""
    moved = []
    for name in reversed(journal.models):
        came = (repository / name).exists() and not (staging / name).exists()
        if came and ((staging / _ASIDE / name).exists() or name not in journal.stood):
            (repository / name).rename(staging / name)
            moved.append(name)
        if (staging / _ASIDE / name).exists():
            (staging / _ASIDE / name).rename(repository / name)
    return moved


def _taken(staging: Path, repository: Path, name: str) -> bool:
    """Whether a person has put a model in the place of a staged one, or edited it there, since the journal began."""
    began = (staging / _JOURNAL).stat().st_mtime_ns
    edited = any(file.stat().st_ctime_ns > began for file in files_of(repository / name))
    return edited or ((repository / name).exists() and (staging / _ASIDE / name).exists())
