"""What a request's words stand for."""

from __future__ import annotations

from dataclasses import fields

from tbgen.export.sources import Source
from tbgen.export.tasks.table import exported_as
from tbgen.generator.presets import source_named
from tbgen.generator.request import Request


def source_of(request: Request) -> Source:
    """The source that a request names; without one its name must be a preset's. Raises UserError."""
    place = str(request.source or source_named(request.name))
    return Source(place, **{each.name: getattr(request, each.name) for each in fields(Source)[1:]})


def export_task(request: Request) -> str | None:
    """The task that the checkpoint is read and exported for; None where its config.json says it. Raises NoSuchName."""
    return exported_as(request.task)
