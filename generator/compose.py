"""The models that a request asks for, around one export; nothing is written yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.generator.models.graph import GraphModel, models_of, with_cache
from tbgen.generator.models.queue import queue_seconds, with_queue
from tbgen.generator.models.shared_backend import in_form
from tbgen.generator.models.warmup import with_warmup
from tbgen.generator.request import Request
from tbgen.generator.resolve import ResolvedRequest, task_asked
from tbgen.generator.role import FRONT


@dataclass(frozen=True)
class Composition:
    """Models in the order in which they can be loaded, and what they are made from."""

    resolved: ResolvedRequest
    exported: Exported
    task: str
    graphs: tuple[str, ...]
    models: tuple[GraphModel, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names."""
        return tuple(model.name for model in self.models)

    @property
    def fronts(self) -> tuple[str, ...]:
        """The models that take what a client sends and answer."""
        return tuple(model.name for model in self.models if model.role.part == FRONT)

    @property
    def source(self) -> dict[str, str]:
        """What identifies the checkpoint: file name -> SHA-256."""
        return dict(self.exported.made.source)


def compose(resolved: ResolvedRequest, exported: Exported) -> Composition:
    """The models that a request asks for around an export. Raises UserError."""
    request = resolved.request
    _check_weights(request, exported.made.source)
    task = request.task or exported.task
    row, graphs = task_asked(request, task)
    models = models_of(
        request.name,
        exported,
        task=row,
        engine=resolved.engine,
        graphs=graphs,
        pre=resolved.pre,
        post=resolved.post,
        options=resolved.options,
    )
    models = with_queue(models, queue_seconds(request.queue))
    models = with_cache(models) if request.cache else models
    models = with_warmup(models, exported) if request.warmup else models
    return Composition(resolved, exported, task, graphs, tuple(in_form(models, request.steps)))


def _check_weights(request: Request, source: Mapping[str, str]) -> None:
    """Raise UserError when the source's weights are not those that were asked for."""
    wanted = request.weights
    wrong = [name for name in sorted({*wanted, *source}) if wanted.get(name) != source.get(name)]
    if wanted and wrong:
        raise UserError(
            f"{', '.join(wrong)} is not the one that the recipe was written for; take that checkpoint, or write the "
            f"recipe anew: tbgen init {request.name} --force"
        )
