"""Which models of a repository call which: an ensemble its parts, a model of steps an engine or a separate step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.generator.models.config import ModelConfig, config_from_file, values_from_config
from tbgen.generator.repository import CONFIG
from tbgen.generator.steps.load import STEPS_FILE, listing

_NAMED_BY = {"Engine": "model", "Remote": "callee"}  # class of a step -> its setting that names a Triton model


def parts_of_ensemble(config: Mapping[str, Any]) -> list[str]:
    """The models that an ensemble calls, in order, of a configuration as JSON; none of another model."""
    return [step["model_name"] for step in config.get("ensemble_scheduling", {}).get("step", ())]


def callee_of(row: Mapping[str, Any]) -> str | None:
    """The model that a step calls, of a row of steps.json."""
    name = row["settings"].get(_NAMED_BY.get(row["class"]))
    return name if isinstance(name, str) else None


def called_models(configs: Mapping[str, Mapping[str, Any]], repository: Path | None = None) -> set[str]:
    """The models that one of these calls, of configurations as JSON; what steps call is known from their folders."""
    names = {part for config in configs.values() for part in parts_of_ensemble(config)}
    return names.union(*(_called_by_steps(repository / name) for name in configs)) if repository else names


def called_by(folder: Path) -> set[str]:
    """The models that the model of a folder calls; none where its files cannot be read."""
    return {part.name for part in parts_of(folder)} | _called_by_steps(folder)


def refuse_circle(folder: Path) -> None:
    """Raise UserError for a model that calls itself, or others that do, by way of others too: no request would end."""
    calls, waiting = dict[str, set[str]](), {folder.name}
    while waiting:
        calls |= {name: called_by(folder.parent / name) for name in waiting}
        waiting = set[str]().union(*calls.values()) - calls.keys()
    while ends := {name for name, called in calls.items() if not called}:
        calls = {name: called - ends for name, called in calls.items() if name not in ends}
    if calls:
        raise UserError(
            f"no request to {folder.name!r} would end: {', '.join(sorted(calls))} call each other in a circle; mend "
            "their configs, or their steps"
        )


def _called_by_steps(folder: Path) -> set[str]:
    names: set[str] = set()
    for file in folder.glob(f"*/{STEPS_FILE}"):
        with suppress(OSError, UserError):
            names |= {callee for row in listing(file.parent)["steps"] if (callee := callee_of(row))}
    return names


def parts_of(folder: Path) -> list[Path]:
    """The folders of the models that an ensemble calls; none of another model."""
    config = config_in(folder)
    return [folder.parent / part for part in parts_of_ensemble(values_from_config(config))] if config else []


def configs_in(repository: Path) -> dict[str, dict[str, Any]]:
    """The configurations of a repository's models as JSON, by name, sorted; of those that can be read."""
    read = {folder.name: config_in(folder) for folder in sorted(repository.iterdir())}
    return {name: values_from_config(config) for name, config in read.items() if config}


def config_in(folder: Path) -> ModelConfig | None:
    """A folder's config; None when there is none that can be read."""
    try:
        return config_from_file(folder / CONFIG)
    except (OSError, UserError):
        return None
