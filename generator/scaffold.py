"""`tbgen scaffold`: from a checkpoint, or its export, to the models that serve it in a Triton model repository."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.exported import Exported, exported_from_folder
from tbgen.generator.engines import ENGINES, GRAPHS
from tbgen.generator.graph import models_of
from tbgen.generator.presets import PRESETS
from tbgen.generator.repository import publish, refuse_to_overwrite, staged, standing_model
from tbgen.generator.tasks import TASKS
from tbgen.generator.vendor import PLATFORMS, this_platform
from tbgen.generator.version import version
from tbgen.generator.write import write_models


@dataclass(frozen=True)
class Request:
    """What a person asks of scaffold; plain values."""

    name: str
    source: Path | None = None
    task: str | None = None
    engine: str = "onnx"
    graph: str = "both"
    labels: tuple[str, ...] = ()
    fixed_length: int | None = None
    vendor: bool = True
    platform: str | None = None


@dataclass(frozen=True)
class Scaffolded:
    """What scaffold wrote: the model folders in loading order, the front models, and the exported model behind them."""

    repository: Path
    models: tuple[Path, ...]
    fronts: tuple[str, ...]
    exported: Exported
    preset: str | None


def scaffold(
    request: Request,
    repository: Path,
    *,
    force: bool = False,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Scaffolded:
    """Write the models that serve `request` into `repository`: all of them, or none. Raises UserError."""
    check_names(request)
    with staged(repository) as staging:
        exported = exported_from_request(request, staging / ".export", on_progress)
        task = request.task or exported.task
        if task not in TASKS:
            raise NoSuchName("task", task, list(TASKS))
        models = models_of(
            request.name,
            exported,
            task=TASKS[task],
            engine=request.engine,
            kind=ENGINES[request.engine],
            graphs=GRAPHS[request.graph],
        )
        source = exported.made.get("source", {})
        if not force:
            for model in models:
                refuse_to_overwrite(standing_model(repository / model.name), source)
        on_progress("Writing the model repository")
        write_models(models, staging, record_of(request, task, exported), platform=platform_of(request))
        publish(staging, repository, [model.name for model in models])
    return Scaffolded(
        repository,
        tuple(repository / model.name for model in models),
        tuple(model.name for model in models if model.name.endswith(tuple(GRAPHS["both"]))),
        exported,
        None if request.source else request.name,
    )


def check_names(request: Request) -> None:
    """Raise UserError for a name that is not in its table, or that Triton could not use as a folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", request.name):
        raise UserError(
            f"{request.name!r} cannot name a model: use letters, digits, '_', '-' and '.', a letter or digit first"
        )
    for kind, value, table in (("engine", request.engine, ENGINES), ("graph", request.graph, GRAPHS)):
        if value not in table:
            raise NoSuchName(kind, value, list(table))
    if request.platform is not None and request.platform not in PLATFORMS:
        raise NoSuchName("platform", request.platform, list(PLATFORMS))
    if request.task is not None and request.task not in TASKS:
        raise NoSuchName("task", request.task, list(TASKS))
    if request.source is None and request.name not in PRESETS:
        raise UserError(
            f"no preset {request.name!r} (presets: {', '.join(PRESETS)}); name your checkpoint with --source DIR"
        )


def platform_of(request: Request) -> str | None:
    """The processor that vendored packages are for, this machine's unless named; None for no packages."""
    return (request.platform or this_platform()) if request.vendor else None


def exported_from_request(request: Request, folder: Path, on_progress: Callable[[str], None]) -> Exported:
    """The export that the request's source is, or the one made from its checkpoint in `folder`."""
    source = request.source or PRESETS[request.name].source
    if not source.exists():
        raise UserError(
            f"no such source: {source}. --source takes the folder of a checkpoint (config.json, weights, tokenizer) "
            "or of its export"
        )
    if (source / "export.json").exists():
        return exported_from_folder(source)
    from tbgen.export.checkpoint import checkpoint_from_folder
    from tbgen.export.onnx import onnx_from_checkpoint

    on_progress(f"Exporting {source.name} to ONNX")
    checkpoint = checkpoint_from_folder(source, task=request.task, labels=request.labels or None)
    return onnx_from_checkpoint(
        checkpoint, folder, fixed_length=request.fixed_length, texts=None, precision=ENGINES[request.engine].precision
    )


def record_of(request: Request, task: str, exported: Exported) -> dict[str, Any]:
    """What made the models: tool, source and settings; no path and no time, so that it can be reproduced."""
    made = {key: value for key, value in exported.made.items() if key != "source"}
    return {
        "tbgen": version(),
        "name": request.name,
        "source": exported.made.get("source", {}),
        "settings": {"task": task, "labels": list(exported.labels), "fixed_length": exported.fixed_length},
        "export": made,
    }
