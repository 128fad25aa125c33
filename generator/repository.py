"""Model folders on disk, each with a record of what made it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.files import sha256
from tbgen.export.reading import json_from_file
from tbgen.export.record_rules import EXPORT_MAY_LACK, EXPORT_RULES
from tbgen.export.values import A_SWITCH, A_TEXT, AN_OBJECT, damage_of, list_of, object_of, object_with, whole
from tbgen.generator.originals import pack_texts, text_of
from tbgen.generator.request import FIELDS, type_of
from tbgen.generator.version import version

SCAFFOLD = "tbgen scaffold NAME --source CHECKPOINT"
MODEL_RECORD = "tbgen.json"
CONFIG = "config.pbtxt"  # what makes a folder a model
VENDOR = "vendor"  # in a version folder, packages of others
_CACHE = "__pycache__"
_FOLDER = "folder"  # what an empty one holds
_BY_TYPE = {
    "int": whole(0).or_none(),
    "bool": A_SWITCH,
    "tuple[str, ...]": list_of(A_TEXT),
    "Mapping[str, str]": object_of(A_TEXT),
}
_SETTING_RULES = {name: _BY_TYPE.get(type_of(name), A_TEXT.or_none()) for name in FIELDS}
# What a record says; older ones say less.
_RULES = {
    "name": A_TEXT,
    "source": object_of(A_TEXT),
    "settings": object_with({}, may_lack=_SETTING_RULES),
    "export": object_with({}, may_lack=EXPORT_RULES | EXPORT_MAY_LACK),
    "role": object_with({"part": A_TEXT}, may_lack=dict.fromkeys(("engine", "graph"), A_TEXT.or_none())),
    "files": object_of(A_TEXT),
    "originals": A_TEXT,
    "imports": object_of(list_of(A_TEXT)),
    "example": AN_OBJECT,
}


@dataclass(frozen=True)
class ExistingModel:
    """A model folder that exists already: the source in its record, and the files that are not as they were written."""

    folder: Path
    source: dict[str, Any] | None
    edited: tuple[str, ...]


class NoModels(UserError):
    """There is no model in a repository."""

    def __init__(self, repository: Path) -> None:
        super().__init__(f"no model in {str(repository)!r}; a model repository has one folder a model")


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the model's record: `record`, the hash of each file, and the small text files as they are now.

    There is no time and no path in it, so that it can be reproduced.
    """
    files = entries_of(folder)
    hashes = {name: content_of(file) for name, file in files.items()}
    texts = {name: text for name, file in files.items() if VENDOR not in Path(name).parts and (text := text_of(file))}
    _write_text(folder, record | {"files": hashes, "originals": pack_texts(texts)})


def leave_out_of_record(folder: Path, names: Collection[str]) -> None:
    """Let a model's record not say that files, or what lies below them, are as tbgen wrote them."""
    record = read_record(folder)
    if names and record:
        files = record["files"].items()
        others = {name: content for name, content in files if not {name, *map(str, PurePath(name).parents)} & {*names}}
        _write_text(folder, record | {"files": others})


def _write_text(folder: Path, record: Mapping[str, Any]) -> None:
    """A record as JSON that a person can read."""
    (folder / MODEL_RECORD).write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a model that tbgen wrote; None for any other folder, and for what is no record of its."""
    try:
        record: dict[str, Any] = json_from_file(folder / MODEL_RECORD)
    except (OSError, UserError):
        return None
    return None if damage_of(record, {}, _RULES) else {"files": {}, "settings": {}, **record}


def refuse_newer_record(folder: Path) -> None:
    """Raise UserError for a model that a newer tbgen wrote: this one would lose what it does not know of."""
    try:
        record = json_from_file(folder / MODEL_RECORD)
    except (OSError, UserError):
        return
    wrote = record.get("tbgen") if isinstance(record, dict) else None
    if isinstance(wrote, str) and _release(wrote) > _release(version()):
        raise UserError(
            f"tbgen {wrote} wrote {folder}, which is newer than this one, {version()}, and may hold what this one does "
            "not know: pip install --upgrade tbgen"
        )


def _release(version: str) -> list[int]:
    """The numbers with which a version begins."""
    return [int(part[:9]) for part in re.split("[^0-9.]", version)[0].split(".") if part]


def refuse_without_models(repository: Path, written: Mapping[str, Any]) -> None:
    """Raise UserError where there is no repository, or none of its models is tbgen's."""
    if not written:
        what = "holds no model that tbgen wrote" if repository.is_dir() else "is not there"
        raise UserError(
            f"the model repository {str(repository)!r} {what}; name another with --repository, or write one with: "
            f"{SCAFFOLD} -r {shlex.quote(str(repository))}"
        )


def model_folders(repository: Path) -> list[Path]:
    """The folders of a repository that hold a config, sorted."""
    return sorted(file.parent for file in repository.glob(f"*/{CONFIG}"))


def has_models(repository: Path) -> bool:
    """Whether there is a folder, and in it one that may be a model."""
    return repository.is_dir() and any(
        folder.is_dir() and not folder.name.startswith(".") for folder in repository.iterdir()
    )


def refuse_empty_repository(repository: Path, *, filled_later: bool = False) -> None:
    """Raise UserError unless the folder holds at least one model, or may be empty at first."""
    if not repository.is_dir():
        place = shlex.quote(str(repository))
        raise UserError(f"no model repository at {str(repository)!r}; `{SCAFFOLD} -r {place}` writes one")
    if not filled_later and not has_models(repository):
        raise NoModels(repository)


def existing_model(folder: Path) -> ExistingModel | None:
    """What is known of an existing model folder; None when there is none."""
    if not folder.exists():
        return None
    record = read_record(folder)
    if record is None:
        return ExistingModel(folder, None, ())
    then = record.get("files", {})
    now = contents_of(folder, then)
    edited = sorted(name for name in now if now[name] != then.get(name))
    return ExistingModel(folder, record.get("source"), tuple(edited))


def refuse_to_overwrite(standing: ExistingModel | None, source: dict[str, Any]) -> None:
    """Raise UserError unless nothing stands there, or the tool's own folder, unedited and made from the same source."""
    if standing is None:
        return
    refuse_newer_record(standing.folder)
    if standing.source is None:
        raise UserError(
            f"{standing.folder} exists and tbgen did not write it; use another name, or --force to replace it"
        )
    if standing.edited:
        words = shlex.join([standing.folder.name, "-r", str(standing.folder.parent)])
        raise UserError(
            f"{standing.folder} was edited since tbgen wrote it ({', '.join(standing.edited[:5])}); "
            f"`tbgen update {words}` keeps the edits, --force loses them"
        )
    if standing.source != source:
        raise UserError(f"{standing.folder} serves another checkpoint; use another name, or --force to replace it")


def entries_of(folder: Path) -> dict[str, Path]:
    """All that a model folder holds but its record and Python's caches, by relative name, sorted.

    Files, links wherever they lead, and folders with nothing in them.
    """
    found = {}
    for entry in sorted(folder.rglob("*")):
        name = entry.relative_to(folder)
        filled = entry.is_dir() and not entry.is_symlink() and any(each.name != _CACHE for each in entry.iterdir())
        if not filled and _CACHE not in name.parts and str(name) != MODEL_RECORD:
            found[str(name)] = entry
    return found


def contents_of(folder: Path, written: Collection[str]) -> dict[str, str]:
    """What each entry of a model folder holds; a folder that only lost the files that were written there is none."""
    emptied = {str(parent) for name in written for parent in PurePath(name).parents}
    found = ((name, content_of(entry)) for name, entry in entries_of(folder).items())
    return {name: content for name, content in found if not (content == _FOLDER and name in emptied)}


def content_of(entry: Path) -> str:
    """What an entry of a model folder holds, to be compared: the SHA-256 of a file, where a link leads."""
    if entry.is_symlink():
        return f"link to {entry.readlink()}"
    return sha256(entry) if entry.is_file() else _FOLDER if entry.is_dir() else "no file"
