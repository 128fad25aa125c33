"""What a request's words stand for: read once, and refused where it can be before anything that takes long."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.exported import Exported
from tbgen.export.layout import PACKED
from tbgen.export.sources import Source
from tbgen.export.tasks.table import exported_as, task_named
from tbgen.export.tasks.task import Step, Task
from tbgen.generator.devices import GPU
from tbgen.generator.engines.choice import engine_of_source, with_device
from tbgen.generator.engines.engine import Engine
from tbgen.generator.engines.table import ENGINES, engine_named
from tbgen.generator.graphs import AUTO, GRAPHS
from tbgen.generator.models.graph import check_options, graphs_for, graphs_of_task
from tbgen.generator.models.long_text import check_long_text, task_for
from tbgen.generator.models.queue import queue_seconds
from tbgen.generator.presets import source_named
from tbgen.generator.releases import Release, release_named
from tbgen.generator.request import OPTIONS, Request
from tbgen.generator.steps.plugins import settings_from_words, step_from_option
from tbgen.generator.steps.vendor import this_platform

_CHECKPOINTS = ("checkpoint", "state")  # kinds of sources that are exported, which takes long


@dataclass(frozen=True)
class ResolvedRequest:
    """A request, its device and engine chosen, and what its words stand for.

    source: what the models are made from, or an export that is there and takes its place.
    checkpoint: what the source holds, unless it is an export or a ready engine file.
    release: the Triton release in whose container a plan will be built, if any.
    meaning: the task and the labels that the source is read for; None where its config.json says them.
    pre, post, options: the steps and the task's settings that are asked for.
    """

    request: Request
    source: Source | Exported
    checkpoint: Checkpoint | None
    release: Release | None
    meaning: Mapping[str, Any]
    pre: tuple[Step, ...]
    post: tuple[Step, ...]
    options: Mapping[str, Any]

    @property
    def engine(self) -> Engine:
        """The engine, on the request's device."""
        return engine_of(self.request)

    @property
    def platform(self) -> str | None:
        """The processor that vendored packages are for, this machine's unless named; None for no packages."""
        return (self.request.platform or this_platform()) if self.request.vendor else None


def resolve(request: Request, *, standing: Exported | None = None) -> ResolvedRequest:
    """Read a request's words, and the checkpoint that it names. Raises UserError.

    standing: an export that is there, and takes the place of the request's source.
    """
    _check_words(request)
    unsaid, request = request.engine == AUTO, with_device(request)
    options = settings_from_words(request.options)
    if request.task is not None:
        task, graphs = task_asked(request, request.task)
        check_options(task, options)
        graphs_for(task, graphs)
    pre, post = (tuple(step_from_option(option) for option in side) for side in (request.pre, request.post))
    meaning: dict[str, Any] = {"task": exported_as(request.task), "labels": request.labels or None}
    if standing:
        return ResolvedRequest(request, standing, None, None, meaning, pre, post, options)
    source = source_of(request)
    release = _release_to_build(request, source)
    checkpoint = source.checkpoint(**meaning) if source.kind in _CHECKPOINTS else None
    if unsaid and request.device == GPU:
        request = replace(request, engine=engine_of_source(request, source, checkpoint))
    return ResolvedRequest(request, source, checkpoint, release, meaning, pre, post, options)


def _check_words(request: Request) -> None:
    """Raise UserError for a word that is not in its table, or a name that Triton could not use as a folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", request.name):
        raise UserError(
            f"{request.name!r} cannot name a model: use letters, digits, '_', '-' and '.', a letter or digit first"
        )
    if request.engine != AUTO:
        engine_named(request.engine)
    for text in (*request.labels, *request.options, *request.pre, *request.post):
        if text.encode("utf-8", "replace").decode("utf-8") != text:  # bytes of a command line
            raise UserError(f"{text!r} is not UTF-8, which all files of a model are; write it so")
    check_long_text(request.long_text)
    queue_seconds(request.queue)
    for name, option in OPTIONS.items():
        word = getattr(request, name)
        if option.choices and word is not None and word not in option.choices:
            raise NoSuchName(option.noun or name, word, list(option.choices))


def task_asked(request: Request, name: str) -> tuple[Task, tuple[str, ...]]:
    """A task, as it treats long texts for this request, and the graphs that are asked for. Raises UserError.

    auto: the engine's best graph where the task has it, else the one that it has.
    """
    task = task_for(name, task_named(name), request.long_text)
    if request.graph != AUTO:
        return task, GRAPHS[request.graph]
    best, graphs = engine_of(request).graph, graphs_of_task(task)
    return task, (best if best in graphs else graphs[0],)


def engine_of(request: Request) -> Engine:
    """The engine that a request names, on its device."""
    return ENGINES[request.engine].on(str(request.device))


def source_of(request: Request) -> Source:
    """The source that a request names; without one its name must be a preset's. Raises UserError."""
    place = str(request.source or source_named(request.name))
    return Source(place, **{each.name: getattr(request, each.name) for each in fields(Source)[1:]})


def _release_to_build(request: Request, source: Source) -> Release | None:
    """The Triton release in whose container the plan will be built, if any. Raises UserError."""
    engine = ENGINES[request.engine]
    if request.build_script is None:
        if engine.builder and source.kind not in ("export", "plan"):
            place = shlex.quote(source.place) if source.kind == "checkpoint" else "CHECKPOINT"
            raise UserError(
                f"engine {engine.name} runs a {engine.format}; {engine.builder.advice.format(source=place)}"
            )
        return None
    if engine.builder is None:
        built = [row.name for row in ENGINES.values() if row.builder]
        raise UserError(f"engine {engine.name} needs no plan; --build-script is for {' and '.join(built)}")
    if request.layout == PACKED:
        raise UserError("--layout packed is for ONNX Runtime, TensorRT does not read it: leave it out")
    if request.fixed_length:
        raise UserError("--fixed-length is for ONNX files; the lengths of a plan are those of its profiles")
    return release_named(request.build_script)
