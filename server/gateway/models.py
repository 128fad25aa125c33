"""The front models of a server, as clients name them: from what the server says, and from the models' own records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tbgen.export.errors import NoSuchName, UserError
from tbgen.generator.compare.example import required_inputs
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.graphs import EACH_GRAPH, preference
from tbgen.generator.models.config import specs_from_json
from tbgen.generator.role import FRONT, Role, WrittenModel, front_names, written_models
from tbgen.server.client.connection import OF_PROXY, Connection
from tbgen.server.client.replies import JsonObject
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.settings import GatewaySettings
from tbgen.server.gateway.triton import Triton

_FRESH = 5.0  # seconds for which what the server said of its models is taken for true
_PATIENCE = 5.0  # seconds for its answer when a gateway starts
# A tensor that only this task gives.
_TASK_OF = {
    "entities_count": "token-classification",
    "answer_count": "question-answering",
    "mask_count": "fill-mask",
    "token_weights": "sparse-embedding",
    "embedding": "embedding",
    "ranking": "rerank",
    "label_index": "text-classification",
    "value": "text-classification",
}
OTHER = "other"  # of a model whose tensors are those of no task


@dataclass(frozen=True)
class FrontModel:
    """A model that clients ask.

    name: the name given to scaffold. model: the server's. config: as the server tells it. record: tbgen.json's, or {}.
    folder: in the repository, or None.
    """

    name: str
    model: str
    graph: str
    config: JsonObject = field(repr=False)
    record: Mapping[str, Any] = field(repr=False)
    folder: Path | None = None

    @cached_property
    def inputs(self) -> dict[str, tuple[str, list[int]]]:
        """What a request must bring: name -> (data type, dims without the batch axis)."""
        return dict(required_inputs(self.config))

    @cached_property
    def outputs(self) -> dict[str, tuple[str, list[int]]]:
        """What it can give."""
        return specs_from_json(self.config["output"])

    @cached_property
    def task(self) -> str:
        """By its tensors; by its record where two tasks have the same."""
        if {"candidate_labels"} <= self.inputs.keys() and {"labels", "scores"} <= self.outputs.keys():
            return "zero-shot-classification"
        found = next((task for tensor, task in _TASK_OF.items() if tensor in self.outputs), OTHER)
        return "similarity" if found == "rerank" and self.recorded_task == "similarity" else found

    @property
    def recorded_task(self) -> str:
        """What it was written for; empty where nothing says so."""
        return self.record.get("settings", {}).get("task") or self.record.get("export", {}).get("task") or ""

    @property
    def rows(self) -> int:
        """Most items of a request; 0: its tensors have no batch axis."""
        return int(self.config.get("max_batch_size", 0))

    @property
    def size(self) -> int:
        """Numbers of a vector."""
        return self.outputs["embedding"][1][-1]


class FrontModels:
    """The server's front models, looked at anew every few seconds while somebody asks.

    Args:
        triton: the server.
        repository: where the models' records are, or None.
        chosen: names of the models that are meant where a client names none.
    """

    def __init__(self, triton: Triton, repository: Path | None, chosen: Sequence[str]) -> None:
        self.triton, self.repository, self.chosen = triton, repository, chosen
        self.models: list[FrontModel] = []
        self.tasks: dict[str, str] = {}  # of each that was ready once, by both its names
        self.seen = float("-inf")
        self.looking = asyncio.Lock()

    async def all(self) -> list[FrontModel]:
        """Those that are ready, by name. Raises NoAnswer."""
        if time.monotonic() - self.seen > _FRESH:
            async with self.looking:
                if time.monotonic() - self.seen > _FRESH:
                    self.models = await self._look()
                    self.tasks |= {name: each.task for each in self.models for name in (each.name, each.model)}
                    self.seen = time.monotonic()
        return self.models

    async def named(self, name: str) -> FrontModel:
        """The model that a client means. Raises NoAnswer."""
        models = await self.all()
        if found := _named(models, name):
            return found
        raise NoAnswer(404, NoSuchName("ready model", name, [*{each.name for each in models}]).message)

    async def for_tasks(self, *tasks: str, name: str | None = None) -> FrontModel:
        """The model of one of the tasks that is named; else the chosen one, or the only one. Raises NoAnswer."""
        if name:
            model = await self.named(name)
            if model.task not in tasks:
                raise NoAnswer(400, f"model {name!r} does {model.task}; this asks for {' or '.join(tasks)}")
            return model
        every = await self.all()
        chosen = {each: _named(every, each) for each in self.chosen}
        for models in ([each for each in chosen.values() if each], every):
            for task in tasks:
                fitting = [each for each in models if each.task == task]
                names = list(dict.fromkeys(each.name for each in fitting))
                if len(names) > 1:
                    raise NoAnswer(
                        400,
                        f"several models do {task}: {', '.join(names)}; name one as `model` in the body, or start the "
                        "gateway with one --model NAME for it",
                    )
                if fitting:
                    return min(fitting, key=lambda each: preference(each.model))
            for each, ready in chosen.items():
                if not ready and self.tasks.get(each, tasks[0]) in tasks:  # of a task that is not known, too
                    raise _not_ready(each)
        raise NoAnswer(404, f"no model is ready that does {' or '.join(tasks)}")

    async def any(self, name: str | None = None) -> FrontModel:
        """The model that is named; else the chosen one, or the only one. Raises NoAnswer."""
        if name:
            return await self.named(name)
        models = await self.all()
        if self.chosen:
            if model := _named(models, self.chosen[0]):
                return model
            raise _not_ready(self.chosen[0])
        names = list(dict.fromkeys(each.name for each in models))
        if len(names) != 1:
            said = f"which model is meant? Models: {', '.join(names) or 'none'}; name one as `model`, or start the "
            raise NoAnswer(400 if names else 404, f"{said}gateway with --model NAME")
        return await self.named(names[0])

    async def _look(self) -> list[FrontModel]:
        try:
            index = await self.triton.index()
            ready = sorted({row["name"] for row in index if row.get("state") == "READY"})
        except NoAnswer as error:
            if not error.message.startswith(OF_PROXY):
                raise
            ready = await asyncio.to_thread(self._listed_nowhere)
        told = await asyncio.gather(*map(self.triton.config, ready), return_exceptions=True)
        configs = {
            name: each for name, each in zip(ready, told, strict=True) if isinstance(each, dict)
        }  # others went meanwhile
        return await asyncio.to_thread(_fronts, configs, self.repository)

    def _listed_nowhere(self) -> list[str]:
        """What may be there behind a proxy, which lists no models: what is not tells no configuration.

        Raises NoAnswer where nothing says which those may be.
        """
        written = written_models(self.repository) if self.repository else {}
        chosen = {model for name in self.chosen for model in (name, *Connection.fronts(name))}
        if not chosen and not written:
            raise NoAnswer(
                503, "the proxy before Triton lists no models: start the gateway with --model NAME, or with -r"
            )
        return sorted({*written, *chosen})


def _named(models: Sequence[FrontModel], name: str) -> FrontModel | None:
    """Of the models of a name the one that is meant; None: it is not there."""
    found = [each for each in models if name in (each.model, each.name)]
    return min(found, key=lambda each: (each.model != name, preference(each.model)), default=None)


def _not_ready(name: str) -> NoAnswer:
    """What a client is told that means the gateway's own model, by naming none."""
    return NoAnswer(503, f"model {name!r}, which this gateway was started with, is not ready: ask again later")


def refuse_unknown_models(settings: GatewaySettings) -> None:
    """Raise NoSuchName for a model that is meant and of which the server knows nothing, ready or not, and UserError for
    two of one task.

    A server that does not answer yet is taken for one that will have them.
    """
    try:
        with Connection(settings.address, seconds=_PATIENCE) as connection:
            states = connection.states()
            configs = {name: connection.config(name) for name, state in states.items() if state == "READY"}
    except UserError:
        return
    fronts = _fronts(configs, settings.repository)
    waiting = [part for name in states.keys() - configs.keys() for part in _named_parts(name)[:2]]
    tasks = {name: each.task for each in fronts for name in (each.name, each.model)}
    meant: dict[str, str] = {}
    for name in settings.models:
        if name not in {*tasks, *waiting}:
            raise NoSuchName("model", name, [*{each.name for each in fronts}])
        task = tasks.get(name, name)
        if meant.setdefault(task, name) != name:
            raise UserError(f"--model {meant[task]} and --model {name} both do {task}: name one of them")


def _fronts(configs: Mapping[str, JsonObject], repository: Path | None) -> list[FrontModel]:
    """The front models among those of the server, by name."""
    written = written_models(repository) if repository else {}
    return [_front(name, configs[name], written.get(name)) for name in front_names(configs, repository)]


def _front(model: str, config: JsonObject, written: WrittenModel | None) -> FrontModel:
    """What is known of a front model."""
    if written:
        return FrontModel(written.role.name, model, written.role.graph or "", config, written.record, written.folder)
    return FrontModel(*_named_parts(model), config, {})


def _named_parts(model: str) -> tuple[str, str, str]:
    """Name, model and graph by the model's name alone."""
    for engine in ENGINES:
        for graph in EACH_GRAPH:
            last = Role("", FRONT, engine, graph).model
            if model.endswith(f"_{last}") and len(model) > len(last) + 1:
                return model.removesuffix(f"_{last}"), model, graph
    return model, model, ""
