"""What a model of a repository is there for, as its record says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tbgen.generator.calls import called_models
from tbgen.generator.graphs import EACH_GRAPH
from tbgen.generator.models.config import PYTHON_BACKENDS
from tbgen.generator.repository import read_record

# Parts that a model can be, beside separate steps, which have names of their own. Clients ask front models.
FRONT, ENGINE, TOKENIZER, POSTPROCESS = "front", "engine", "tokenizer", "postprocess"


@dataclass(frozen=True)
class Role:
    """Whose model it is, and what it does there.

    name: the name given to scaffold.
    part: front, engine, tokenizer, postprocess, or the name of a separate step.
    engine: a key of the engines' table; None for what several engines of the name share.
    graph: of a front model: ensemble, bls, single, or bls_ensemble and single_ensemble, which keep answers of those.
    """

    name: str
    part: str
    engine: str | None = None
    graph: str | None = None

    @property
    def model(self) -> str:
        """The name of the model that has this role."""
        last = {FRONT: self.graph, ENGINE: None}.get(self.part, self.part)
        return "_".join(filter(None, (self.name, self.engine, last)))

    @property
    def is_separate_step(self) -> bool:
        """Whether it is a step that models of other roles call."""
        return self.part not in (FRONT, ENGINE, TOKENIZER, POSTPROCESS)

    @property
    def has_engine_file(self) -> bool:
        """Whether the engine's file lies in it."""
        return self.part == ENGINE or self.graph == "single"


@dataclass(frozen=True)
class WrittenModel:
    """A model that tbgen wrote: its folder, its record, and its role."""

    folder: Path
    record: dict[str, Any]
    role: Role

    @property
    def settings(self) -> dict[str, Any]:
        """What scaffold was asked for, and what it chose."""
        return self.record["settings"]

    @property
    def export(self) -> dict[str, Any]:
        """The record of the export behind it, with what a repository leaves out. Raises KeyError where it kept less."""
        export = self.record["export"]
        return {**export, "parity": {}, "made": {**export["made"], "source": self.record["source"]}}


def written_models(repository: Path) -> dict[str, WrittenModel]:
    """The models of a repository that tbgen wrote, by name, sorted."""
    folders = sorted(repository.iterdir()) if repository.is_dir() else []
    models = (written_model(folder) for folder in folders if not folder.name.startswith("."))
    return {model.folder.name: model for model in models if model}


def written_model(folder: Path) -> WrittenModel | None:
    """A model that tbgen wrote; None for any other folder."""
    record = read_record(folder)
    if record is None or "name" not in record:
        return None
    return WrittenModel(folder, record, _role_from_record(folder.name, record))


def _role_from_record(model: str, record: Mapping[str, Any]) -> Role:
    """What a record says; where it is older than roles, what the model's name told."""
    name, engine = record["name"], record["settings"].get("engine")
    if "role" in record:
        role = record["role"]
        return Role(name, role["part"], role.get("engine"), role.get("graph"))
    own = Role(name, ENGINE, engine), *(Role(name, FRONT, engine, graph) for graph in (*EACH_GRAPH, "bls_ensemble"))
    named = {role.model: role for role in (*own, Role(name, TOKENIZER, engine))}
    return named.get(model) or Role(name, model.removeprefix(f"{name}_"))


def record_of_role(role: Role) -> dict[str, Any]:
    """The role as a model's record keeps it, beside the name."""
    values = asdict(role)
    del values["name"]
    return {"role": values}


def front_names(configs: Mapping[str, Mapping[str, Any]], repository: Path | None = None) -> list[str]:
    """The models that clients ask, of configurations as JSON.

    A record says it of its model. Others are asked that none of these calls, and that are ensembles or take text; where
    the `repository` is at hand, and so what models of steps call, any that run Python.
    """
    written = written_models(repository) if repository else {}
    called = called_models(configs, repository)
    asked = (
        name
        for name, config in configs.items()
        if (written[name].role.part == FRONT if name in written else name not in called)
        and (name in written or _may_be_asked(config, python=repository is not None))
    )
    return sorted(asked)


def _may_be_asked(config: Mapping[str, Any], *, python: bool) -> bool:
    """Whether a model that nobody calls is there for clients; `python`: also one that runs Python and takes no text."""
    text = any(tensor["data_type"] == "TYPE_STRING" for tensor in config.get("input", ()))
    return text or config.get("platform") == "ensemble" or (python and config.get("backend") in PYTHON_BACKENDS)
