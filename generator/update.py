"""Regenerating models that people may have edited: what changed on which side, and new models that keep the edits."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.exported import Exported, exported_from_record
from tbgen.export.files import sha256
from tbgen.export.layout import PADDED
from tbgen.generator.compose import compose
from tbgen.generator.devices import CPU
from tbgen.generator.engines.choice import with_device
from tbgen.generator.engines.table import engine_named, engine_of_settings
from tbgen.generator.graphs import AUTO
from tbgen.generator.kept import keep_access, keep_entry
from tbgen.generator.models.engine_file import Progress, export_engine
from tbgen.generator.originals import text_of, unpack_texts
from tbgen.generator.publishing import publish, staging_folder
from tbgen.generator.repository import (
    MODEL_RECORD,
    content_of,
    contents_of,
    entries_of,
    leave_out_of_record,
    model_folders,
    read_record,
    refuse_newer_record,
    refuse_without_models,
)
from tbgen.generator.request import OPTIONS, Request, deciding
from tbgen.generator.resolve import resolve
from tbgen.generator.role import WrittenModel, written_models
from tbgen.generator.scaffold import expected_models, write_composition
from tbgen.generator.steps.plugins import with_step_files

OWN = ("own", "namesake")  # what tbgen never wrote
KEPT = ("edited", "conflict", *OWN)  # what an update leaves alone


@dataclass(frozen=True)
class FileChange:
    """One file on its three sides: as tbgen wrote it, as it stands, as tbgen writes it now (None: no small text file).

    state: same; new, missing, updated: it is written; removed; edited: by a person alone; conflict: by a person, and
    tbgen writes something else now; own: a person's file; namesake: a person's, and tbgen writes one of that name now.
    A link and an empty folder count as files; where a person has a link instead of a folder of tbgen's, or the other
    way round, the two are one.
    """

    model: str
    name: str
    state: str
    then: str | None
    yours: str | None
    now: str | None


@dataclass(frozen=True)
class Update:
    """Models written anew in a staging folder, and how their files stand to those in the repository.

    changed_settings: model -> the settings with which it stands, as far as they are not those of now.
    new_settings: those that no record of them knows, with their values now.
    stood: model -> what tells whether its entries are still those that were compared.
    """

    repository: Path
    staging: Path
    models: tuple[str, ...]
    changes: tuple[FileChange, ...]
    same_source: bool
    changed_settings: Mapping[str, tuple[str, ...]]
    new_settings: Mapping[str, Any]
    stood: Mapping[str, Mapping[str, tuple[int, int]]]


@contextmanager
def update_of_request(
    request: Request,
    repository: Path,
    *,
    models: Collection[str] | None = None,
    on_progress: Progress = lambda _: None,
) -> Iterator[Update]:
    """Write the models of `request` anew beside the repository, and compare. Raises UserError.

    models: the standing ones that this request speaks for; others are left as they are (None: all are its own). Without
    a source, the engine and the tokenizer are those that stand in the repository, where they are unedited.
    """
    with staging_folder(repository) as staging:
        request = _as_it_stands(request, repository)
        standing = None if request.source else _standing_export(request, repository, models or ())
        resolved = resolve(request, standing=standing)
        expected_models(resolved, staging)  # what is wrong with them is said before a checkpoint is exported
        written = compose(resolved, export_engine(resolved, staging / ".export", on_progress))
        on_progress("Writing the models anew, to compare them")
        write_composition(written, staging)
        mine = tuple(
            name for name in written.names if models is None or name in models or not (repository / name).exists()
        )
        for name in mine:
            refuse_newer_record(repository / name)
        stood = {name: _stand(repository / name) for name in mine}
        changes = [change for name in mine for change in _changes_of(repository, staging, name)]
        before = [record.get("source") for name in mine if (record := read_record(repository / name))]
        same_source = all(source == written.source for source in before)
        settings = _changed_settings(repository, staging, mine), _new_settings(repository, staging, mine)
        yield Update(repository, staging, mine, tuple(changes), same_source, *settings, stood)


def _new_settings(repository: Path, staging: Path, names: Collection[str]) -> dict[str, Any]:
    """The settings that no record of the standing models knows, as those written anew have them."""
    pairs = [(read_record(repository / name), read_record(staging / name)) for name in names]
    known = [(old["settings"], new["settings"]) for old, new in pairs if old and new]
    return {key: new[key] for old, new in known for key in new if key not in old and new[key] is not None}


def _changed_settings(repository: Path, staging: Path, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The settings of which the standing models' records say something else than those of the models written anew."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        old, new = ((read_record(folder / name) or {"settings": {}})["settings"] for folder in (repository, staging))
        other = tuple(key for key in old.keys() & new.keys() - {*deciding("files")} if old[key] != new[key])
        found |= {name: tuple(sorted(other))} if other else {}
    return found


def apply(update: Update, *, force: bool = False) -> list[str]:
    """Publish the models that change, and return their names.

    Edited files are kept as they stand; with `force` only those that tbgen never wrote.
    """
    kept = [change for change in update.changes if change.state in (OWN if force else KEPT)]
    written = {change.model for change in update.changes if change.state != "same" and change not in kept}
    for change in kept:
        keep_entry(update.repository / change.model / change.name, update.staging / change.model / change.name)
    for model in update.models:
        leave_out_of_record(
            update.staging / model, [each.name for each in kept if (each.model, each.state) == (model, "namesake")]
        )
    records = (update.staging, update.repository)
    changed = [
        model
        for model in update.models
        if model in written or len({text_of(folder / model / MODEL_RECORD) for folder in records}) > 1
    ]
    for model in changed:
        keep_access(update.repository / model, update.staging / model)
    publish(update.staging, update.repository, changed, partial(_refuse_changed, update, changed))
    return changed


def _refuse_changed(update: Update, models: Collection[str]) -> None:
    """Raise UserError where a model is no longer as it was when it was compared: an edit since would be lost."""
    for model in models:
        if _stand(update.repository / model) != update.stood[model]:
            raise UserError(
                f"{update.repository / model} was changed while it was compared; nothing was written, so try again"
            )


def _stand(folder: Path) -> dict[str, tuple[int, int]]:
    """The inode and the time of the last change of each entry of a model folder."""
    entries = entries_of(folder).items() if folder.exists() else ()
    return {name: ((stat := entry.lstat()).st_ino, stat.st_mtime_ns) for name, entry in entries}


def requests_from_records(repository: Path, name: str, source: Path | None) -> list[tuple[Request, tuple[str, ...]]]:
    """What scaffold was asked for when it wrote the models of `name`: each request, and the models that it wrote last.

    name: the name given to scaffold, or one of the models. Raises NoSuchName.
    """
    written = written_models(repository)
    for folder in () if written else model_folders(repository):
        refuse_newer_record(folder)
    refuse_without_models(repository, written)
    name = written[name].role.name if name in written else name
    mine = {model: each.settings for model, each in written.items() if each.role.name == name}
    if not mine:
        raise NoSuchName("name", name, sorted({each.role.name for each in written.values()}))
    groups: list[tuple[dict[str, Any], tuple[str, ...]]] = []
    for settings in mine.values():
        if all(settings != known for known, _ in groups):
            groups.append((settings, tuple(model for model, other in mine.items() if other == settings)))
    return [
        (_request_from_settings(name, source, settings, [repository / model for model in models]), models)
        for settings, models in groups
    ]


def _request_from_settings(
    name: str, source: Path | None, settings: dict[str, Any], folders: Sequence[Path]
) -> Request:
    """The inverse of what a record keeps of a request. Steps of one's own are taken from the models in `folders`."""
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in settings.items()
        if key in OPTIONS and key not in deciding("source") and value is not None
    }
    values |= with_step_files(values, partial(_standing_step, folders))
    return Request(name, source, **values)


def _standing_step(folders: Sequence[Path], file: Path) -> Path:
    """Where the models have a step file; as it is named where they have none."""
    return next(filter(Path.is_file, (folder / "1" / file.name for folder in folders)), file)


def _as_it_stands(request: Request, repository: Path) -> Request:
    """The request, its device and engine those of the models that stand where it leaves them to the machine."""
    if request.device == AUTO:
        own = (each.settings for each in written_models(repository).values() if each.role.name == request.name)
        for settings in (each for each in own if request.engine in (AUTO, each.get("engine"))):
            return replace(request, device=settings.get("device") or CPU, engine=engine_of_settings(settings).name)
    return with_device(request)


def _standing_export(request: Request, repository: Path, models: Collection[str]) -> Exported | None:
    """The exported model that the standing models were made from, those of `models` before others of their name.

    None where its files are gone or were edited, or where the request wants another export.
    """
    own = [model for model in written_models(repository).values() if model.role.name == request.name]
    own.sort(key=lambda model: model.folder.name not in models)
    tokenizer = next(filter(None, (_written_file(model.folder, "1/tokenizer.json") for model in own)), None)
    homes = (model for model in own if model.role.has_engine_file and model.role.engine == request.engine)
    exported = next(filter(None, (_export_in(home, request) for home in homes)), None)
    return replace(exported, tokenizer=tokenizer) if exported and tokenizer else None


def _export_in(home: WrittenModel, request: Request) -> Exported | None:
    """The export whose engine file a model holds, if it is the one that is wanted, and as tbgen wrote it."""
    model = _written_file(home.folder, f"1/{engine_named(request.engine).file}")
    if model is None or not _same_export(request, home.settings):
        return None
    try:
        exported = exported_from_record(home.folder / "1", home.export)
    except KeyError:  # written by a tbgen that kept less of the export
        return None
    here = all(file.is_file() for file in exported.files if file.name != exported.model.name)
    return replace(exported, model=model) if here else None


def _same_export(request: Request, settings: Mapping[str, Any]) -> bool:
    """Whether a request wants the export that a record's settings describe."""
    return (
        request.task in (None, settings.get("task"))
        and list(request.labels) in ([], settings.get("labels"))
        and request.fixed_length == settings.get("fixed_length")
        and request.layout in (AUTO, settings.get("layout", PADDED))
    )


def _written_file(folder: Path, name: str) -> Path | None:
    """A model's file if it is as tbgen wrote it."""
    then = (read_record(folder) or {"files": {}})["files"].get(name)
    file = folder / name
    return file if then and file.is_file() and sha256(file) == then else None


def _changes_of(repository: Path, staging: Path, model: str) -> list[FileChange]:
    """Every file of a model on its three sides."""
    record = read_record(repository / model)
    texts = unpack_texts(record["originals"]) if record and "originals" in record else {}
    before, after = ((each or {"files": {}})["files"] for each in (record, read_record(staging / model)))
    then, stands, now = _sides(before, contents_of(repository / model, {*before, *after}), after)
    return [
        FileChange(
            model,
            name,
            file_state(then.get(name), stands.get(name), now.get(name), known=record is not None),
            texts.get(name),
            _text_at(repository / model / name),
            _text_at(staging / model / name),
        )
        for name in sorted({*then, *stands, *now})
    ]


def _sides(*sides: Mapping[str, str]) -> list[dict[str, str]]:
    """Name -> content of each side, what lies in a folder joined under its name where another side has no folder."""
    names = {name for side in sides for name in side}
    found = []
    for side in sides:
        below: dict[str, dict[str, str]] = {}
        for name, content in side.items():
            outermost = next((str(folder) for folder in PurePath(name).parents if str(folder) in names), name)
            below.setdefault(outermost, {})[name] = content
        found.append({name: rows[name] if name in rows else repr(sorted(rows.items())) for name, rows in below.items()})
    return found


def _text_at(entry: Path) -> str | None:
    """What a diff shows of an entry of a model."""
    return f"{content_of(entry)}\n" if entry.is_symlink() else text_of(entry)


def file_state(then: str | None, stands: str | None, now: str | None, *, known: bool = True) -> str:
    """The state of a file from its three contents; None: there is no such file. known: tbgen's record is there."""
    if stands == now:
        return "same"
    if stands is None:
        return "missing" if then else "new"
    if stands == then:
        return "updated" if now else "removed"
    if now == then:
        return "edited" if now else "own"
    return "conflict" if then or not known else "namesake"


def three_way(change: FileChange) -> list[tuple[str, str]]:
    """What each side changed: (who, unified diff); yours against now where the text that tbgen wrote is not known."""
    if change.yours is None:
        return []
    if change.then is None:
        return [("yours against what tbgen writes now", _unified(change.now or "", change.yours, "tbgen", "yours"))]
    sides = [("you changed", _unified(change.then, change.yours, "written", "yours"))]
    if change.state == "conflict":
        sides.append(("tbgen changed", _unified(change.then, change.now or "", "written", "now")))
    return sides


def _unified(old: str, new: str, old_name: str, new_name: str) -> str:
    """A unified diff of two texts."""
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm="", n=1))
