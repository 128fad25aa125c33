"""The models behind a front model: the steps of an ensemble, what a BLS calls; and the role of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

from tbgen.backends.engine_call import Engine
from tbgen.generator.engines.table import engine_steps
from tbgen.generator.models.config import PYTHON_BACKENDS
from tbgen.generator.steps.load import listing, newest_steps
from tbgen.server.bench.statistics import Snapshot
from tbgen.server.client.connection import Connection
from tbgen.server.client.replies import JsonObject

# What the BLS call of an engine does where its settings do not say: name -> value.
CALL_DEFAULTS = {name: each.default for name, each in signature(Engine).parameters.items()}


@dataclass(frozen=True)
class Part:
    """One model behind the front, or the front itself.

    role: "ensemble", "tokenise", "engine", "post", or "steps" for Python code that no engine divides.
    instances: how many executions can run at once; 0 for an ensemble.
    parallel_calls: most calls to its callees that one execution of a BLS has in flight; 1 when not known.
    engine_step: number of the step of a BLS that calls its engine; None when not known.
    """

    model: str
    role: str
    instances: int = 0
    parallel_calls: int = 1
    engine_step: int | None = None


@dataclass(frozen=True)
class Front:
    """A front model, the parts that its requests pass through, and for a BLS the models that it calls.

    callees is None when nothing says which they are: then the models whose statistics move are.
    """

    part: Part
    steps: Sequence[Part] = ()
    callees: Sequence[Part] | None = ()

    @property
    def parts(self) -> list[Part]:
        """The front and all that is known to be behind it."""
        return [self.part, *self.steps, *(self.callees or ())]


def front_from_server(connection: Connection, model: str, repository: Path | None) -> Front:
    """What lies behind a model, from the configurations that the server gives and, at hand, the repository's steps.

    Raises UserError.
    """
    config = connection.config(model)
    if "ensemble_scheduling" in config:
        return Front(Part(model, "ensemble"), _ensemble_parts(connection, config["ensemble_scheduling"]["step"]))
    role = "engine" if _is_engine(config) else "steps"
    part = Part(model, role, instances(config))
    if role == "engine":
        return Front(part)
    steps = _steps_of(repository, model)
    if steps is None:
        return Front(part, callees=None)
    calls = [CALL_DEFAULTS | step["settings"] for step in steps if "model" in step["settings"]]
    parallel = max((int(settings["parallel_calls"]) for settings in calls), default=1)
    callees = [_callee_part(connection, settings["model"]) for settings in calls]
    number = next((number for number, step in enumerate(steps) if step["class"] in engine_steps()), None)
    return Front(replace(part, parallel_calls=parallel, engine_step=number), callees=callees)


def _ensemble_parts(connection: Connection, steps: Sequence[JsonObject]) -> list[Part]:
    """The parts of an ensemble in their order; what feeds an engine tokenises, what follows it is post-processing."""
    configs = {step["model_name"]: connection.config(step["model_name"]) for step in steps}
    engines = [name for name, config in configs.items() if _is_engine(config)]
    feeding = upstream(steps, engines)
    roles = {name: "tokenise" if name in feeding else "post" if engines else "steps" for name in configs}
    roles |= dict.fromkeys(engines, "engine")
    return [Part(name, roles[name], instances(config)) for name, config in configs.items()]


def upstream(steps: Sequence[JsonObject], models: Iterable[str]) -> set[str]:
    """The models of an ensemble whose tensors reach one of `models`, directly or through others."""
    found, wanted = set(models), set(models)
    while wanted:
        needed = {tensor for step in steps if step["model_name"] in wanted for tensor in step["input_map"].values()}
        feeding = {step["model_name"] for step in steps if needed & set(step["output_map"].values())}
        wanted, found = feeding - found, found | feeding
    return found - set(models)


def callees_from_statistics(connection: Connection, front: Front, moved: Snapshot) -> Front:
    """Without the repository: the callees of a BLS are the other models that worked during the load."""
    if front.callees is not None:
        return front
    others = sorted(set(moved) - {front.part.model})
    return replace(front, callees=[_callee_part(connection, name) for name in others])


def _callee_part(connection: Connection, model: str) -> Part:
    config = connection.config(model)
    return Part(model, "engine" if _is_engine(config) else "steps", instances(config))


def _is_engine(config: JsonObject) -> bool:
    """Whether a model is run by anything but Python."""
    return config.get("backend", "") not in PYTHON_BACKENDS and config.get("platform", "") != "ensemble"


def instances(config: JsonObject) -> int:
    """How many executions of a model can run at once, from the groups that the server filled in."""
    return sum(
        int(group.get("count", 1)) * max(1, len(group.get("gpus", []))) for group in config.get("instance_group", [])
    )


def _steps_of(repository: Path | None, model: str) -> list[dict[str, Any]] | None:
    """The rows of a model's steps.json; None when there is no such file at hand."""
    file = repository and newest_steps(repository / model)
    return listing(file.parent)["steps"] if file else None
