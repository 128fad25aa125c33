"""A folder of written files that people edit: written anew it keeps their edits, as models do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.exchange import put_in_place
from tbgen.export.interrupt import interrupted_once
from tbgen.export.scratch import beside, refuse_closed
from tbgen.generator.kept import keep_access, keep_entry
from tbgen.generator.repository import contents_of, leave_out_of_record, read_record, write_record
from tbgen.generator.update import KEPT, OWN, file_state

_KIND = "deploy"  # in a record: what the folder's files are for


@dataclass(frozen=True)
class Written:
    """What became of a file: its name in the folder, and its state as `FileChange` of generator/update.py has it."""

    name: str
    state: str


def write_files(folder: Path, kind: str, files: Mapping[str, str], *, force: bool = False) -> list[Written]:
    """Put files, by relative name, into a folder, all or none, what people edited there kept, but with `force`.

    kind: what they are for; a folder of another kind, or of none, is refused. Returns what became of each file.
    Raises UserError.
    """
    place = folder.resolve()
    _refuse_others(folder, place, kind)
    refuse_closed(place)
    with interrupted_once(), beside(place) as scratch:
        new = scratch / "new"
        for name, text in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(text, encoding="utf-8")
        write_record(new, {_KIND: kind})
        changes = _changes(place, new)
        kept = [each for each in changes if each.state in (OWN if force else KEPT)]
        for each in kept:
            keep_entry(place / each.name, new / each.name)
        leave_out_of_record(new, [each.name for each in kept if each.state == "namesake"])
        keep_access(place, new)
        put_in_place(new, place, scratch / "old")
    return changes


def _refuse_others(folder: Path, place: Path, kind: str) -> None:
    """Raise UserError for what is no folder of such files."""
    if not os.path.lexists(place) or (place.is_dir() and not any(place.iterdir())):
        return
    there = (read_record(place) or {}).get(_KIND) if place.is_dir() else None
    if there != kind:
        what = f"holds the files of `tbgen deploy {there}`" if there else "is there, and tbgen did not write it"
        raise UserError(f"{str(folder)!r} {what}; name another folder with --output")


def _changes(place: Path, new: Path) -> list[Written]:
    """The files of the folder that stands and of the new one, each by its three sides."""
    then = (read_record(place) or {"files": {}})["files"]
    now = (read_record(new) or {"files": {}})["files"]
    stands = contents_of(place, {*then, *now}) if place.is_dir() else {}
    return [
        Written(name, file_state(then.get(name), stands.get(name), now.get(name), known=bool(then)))
        for name in sorted({*then, *stands, *now})
    ]
