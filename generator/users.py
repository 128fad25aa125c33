"""A model is not changed under those that stay and call it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.generator.calls import called_by
from tbgen.generator.repository import read_record
from tbgen.generator.request import deciding
from tbgen.generator.role import written_models

ANSWER = deciding("answers")


def refuse_to_change_for_others(repository: Path, staging: Path, names: Collection[str]) -> None:
    """Raise UserError when a staged model differs from the one that models of `repository` besides `names` call."""
    changed = [name for name in names if _files_in_record(repository / name) != _files_in_record(staging / name)]
    for user in sorted(repository.iterdir()) if repository.is_dir() else ():
        used = [name for name in changed if name in called_by(user)] if user.name not in names else []
        if used and (repository / used[0]).exists():
            raise UserError(
                f"{user} runs {used[0]} as it stands, and these settings change it; use another name, write all its "
                "graphs and engines with the same settings, or --force"
            )


def answering_otherwise(repository: Path, names: Collection[str]) -> tuple[str, ...]:
    """A sentence for each model that stands beside those of `names` under the same name, written with other settings.

    Only settings that change the answers count: two graphs of one name should answer alike.
    """
    written = written_models(repository)
    own = next(model for model in written.values() if model.folder.name in names)
    beside = [each for name, each in written.items() if name not in names and each.role.name == own.role.name]
    return tuple(
        f"{model.folder} was written with other settings ({', '.join(other)}) and answers as before; if all graphs are "
        "to answer alike, scaffold it with these too, or remove it"
        for model in beside
        if (other := [key for key in ANSWER if model.settings.get(key) != own.settings.get(key)])
    )


def _files_in_record(folder: Path) -> dict[str, str]:
    """The files of a model and their hashes as they were written; none for a folder that tbgen did not write."""
    return (read_record(folder) or {}).get("files", {})
