"""What a person asks of scaffold, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from tbgen.export.sources import Source
from tbgen.export.tasks.table import exported_as
from tbgen.generator.engines import AUTO
from tbgen.generator.presets import source_named

# The fields of a request that name its source; they are places of one machine, so no record of a model keeps them.
SOURCE = ("source", "weights", *(each.name for each in fields(Source)[1:]))


@dataclass(frozen=True)
class Request:
    """One engine and the graphs around it, under one name."""

    name: str
    source: Path | None = None  # a folder, a file, or a name on the hub
    task: str | None = None
    engine: str = "onnx"
    graph: str = "both"
    labels: tuple[str, ...] = ()
    fixed_length: int | None = None
    layout: str = AUTO  # of the ONNX file that is exported: padded, packed, or what the engine is best served by
    vendor: bool = True
    platform: str | None = None
    pre: tuple[str, ...] = ()  # steps before the tokenizer: FILE:Class key=value ..., or an installed step's name
    post: tuple[str, ...] = ()  # steps behind the task's head
    steps: str = "copy"  # each Python model brings the code of its steps, or "backend": the server has it
    options: tuple[str, ...] = ()  # the task's own settings, key=value
    long_text: str | None = None  # truncate, reject or windows, unless it is as the task has it
    cache: bool = False  # Triton keeps the answers of ensembles
    warmup: bool = False  # Triton sends requests to models while it loads them
    build_script: str | None = None  # Triton release in whose container a plan will be built, instead of here
    revision: str | None = None  # what goes with the source, as in tbgen.export.sources.Source
    tokenizer: Path | None = None
    base: str | None = None
    label_count: int | None = None
    rename: tuple[str, ...] = ()
    weights: Mapping[str, str] = field(
        default_factory=dict
    )  # the source's files and their SHA-256, if they must be these


def source_of(request: Request) -> Source:
    """The source that a request names; without one its name must be a preset's. Raises UserError."""
    place = str(request.source or source_named(request.name))
    return Source(place, **{each.name: getattr(request, each.name) for each in fields(Source)[1:]})


def export_task(request: Request) -> str | None:
    """The task that the checkpoint is read and exported for; None where its config.json says it. Raises NoSuchName."""
    return exported_as(request.task)
