"""Rules on what tbgen's records say of models that stand together under one name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.repository import MODEL_RECORD, SCAFFOLD, read_record
from tbgen.generator.role import FRONT, written_model
from tbgen.generator.users import ANSWER


def _answers_like_its_neighbours(model: Model, repository: Repository) -> Iterator[Finding]:
    """The graphs of one name were written with the same settings, as far as their answers depend on them."""
    mine = _record_of_front(model)
    if mine is None:
        return
    for neighbour in repository.models.values():
        if neighbour.name == model.name:
            return  # the first of the name is what the others are held against
        theirs = _record_of_front(neighbour)
        if theirs and theirs["name"] == mine["name"]:
            other = [key for key in ANSWER if theirs["settings"].get(key) != mine["settings"].get(key)]
            if other:
                says = f"answers otherwise than {neighbour.name}: written with other settings ({', '.join(other)})"
                mend = "scaffold both with the same settings, or one of them under another name"
                yield model.advice(model.file(model.folder / MODEL_RECORD), says, mend)
            return


def _findings_of_its_engine(model: Model, _: Repository) -> Iterator[Finding]:
    """What is particular to the engine whose file the model holds, by its record."""
    engine = ENGINES.get((read_record(model.folder) or {}).get("settings", {}).get("engine"))
    if engine and any((model.version_folder(version) / engine.file).exists() for version in model.versions):
        yield from engine.findings(model)


def _is_a_record(model: Model, _: Repository) -> Iterator[Finding]:
    """A tbgen.json that tbgen did not write so, or that somebody edited, says nothing to its commands."""
    file = model.folder / MODEL_RECORD
    if file.is_file() and read_record(model.folder) is None:
        says = f"{MODEL_RECORD} is no record of tbgen's: its commands take the model for another's"
        yield model.advice(
            model.file(file),
            says,
            f"let `{SCAFFOLD} -r {shlex.quote(str(model.folder.parent))} --force` write it, or remove the file",
        )


def _record_of_front(model: Model) -> dict[str, Any] | None:
    """The record of a model that clients ask; None of engines and parts, and of others' models."""
    written = written_model(model.folder)
    return written.record if written and written.role.part == FRONT else None


def longest_recorded(model: Model) -> int | None:
    """The most tokens of a text that the tokenizer lets in, by the model's record; None when it says nothing of it."""
    export = (read_record(model.folder) or {}).get("export")
    longest = export.get("max_length") if isinstance(export, dict) else None
    return longest if isinstance(longest, int) else None


REPOSITORY_RULES = (_is_a_record, _answers_like_its_neighbours, _findings_of_its_engine)
