"""`tbgen scaffold`: from a checkpoint, or its export, to the models that serve it in a Triton model repository."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.exported import Exported, exported_from_folder
from tbgen.export.exported import record_of as export_record
from tbgen.export.layout import LAYOUTS, PADDED
from tbgen.generator.build_script import build_traits, export_to_build, onnx_precision
from tbgen.generator.check.check import check_repository
from tbgen.generator.engines import ENGINES, GRAPHS
from tbgen.generator.graph import models_of, with_cache
from tbgen.generator.long_text import check_long_text, task_for
from tbgen.generator.plugins import settings_from_words, step_from_option, task_named, with_file
from tbgen.generator.presets import source_named
from tbgen.generator.publishing import publish, staged
from tbgen.generator.releases import Release, release_named
from tbgen.generator.repository import refuse_to_overwrite, standing_model
from tbgen.generator.shared_backend import FORMS, in_form
from tbgen.generator.users import answering_otherwise, refuse_to_change_for_others
from tbgen.generator.vendor import PLATFORMS, this_platform
from tbgen.generator.version import version
from tbgen.generator.write import write_models

Progress = Callable[[str], None]  # is told what is done now
AUTO = "auto"


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
    layout: str = "auto"  # of the ONNX file that is exported: padded, packed, or what the engine is best served by
    vendor: bool = True
    platform: str | None = None
    pre: tuple[str, ...] = ()  # steps before the tokenizer: FILE:Class key=value ..., or an installed step's name
    post: tuple[str, ...] = ()  # steps behind the task's head
    steps: str = "copy"  # each Python model brings the code of its steps, or "backend": the server has it
    options: tuple[str, ...] = ()  # the task's own settings, key=value
    long_text: str | None = None  # truncate, reject or windows, unless it is as the task has it
    cache: bool = False  # Triton keeps the answers of ensembles
    build_script: str | None = None  # Triton release in whose container a plan will be built, instead of here
    weights: Mapping[str, str] = field(
        default_factory=dict
    )  # the source's files and their SHA-256, if they must be these


@dataclass(frozen=True)
class Staged:
    """Models that are written but not yet published: their names in loading order, and what they were made from."""

    models: tuple[str, ...]
    exported: Exported

    @property
    def source(self) -> dict[str, Any]:
        """What identifies the checkpoint: file name -> SHA-256."""
        return self.exported.made.get("source", {})


@dataclass(frozen=True)
class Scaffolded:
    """What scaffold wrote: the model folders in loading order, the front models, and the exported model behind them.

    warnings: what a person should know of the models that stand beside them, a sentence each.
    """

    repository: Path
    models: tuple[Path, ...]
    fronts: tuple[str, ...]
    exported: Exported
    preset: str | None
    warnings: tuple[str, ...] = ()


def scaffold(
    request: Request,
    repository: Path,
    *,
    force: bool = False,
    on_progress: Progress = lambda _: None,
) -> Scaffolded:
    """Write the models that serve `request` into `repository`: all of them, or none. Raises UserError."""
    with staged(repository) as staging:
        written = stage(request, staging, on_progress=on_progress)
        if not force:
            for name in written.models:
                refuse_to_overwrite(standing_model(repository / name), written.source)
            refuse_to_change_for_others(repository, staging, written.models)
        if request.build_script is None:  # else the plan is not there yet
            refuse_what_triton_refuses(staging, written.models)
        publish(staging, repository, written.models)
    return Scaffolded(
        repository,
        tuple(repository / name for name in written.models),
        tuple(name for name in written.models if name.endswith(tuple(GRAPHS["both"]))),
        written.exported,
        None if request.source else request.name,
        (*bls_alone(request, written.models), *answering_otherwise(repository, written.models)),
    )


def bls_alone(request: Request, models: Sequence[str]) -> tuple[str, ...]:
    """A sentence where windows left the ensemble out that was asked for."""
    if request.long_text != "windows" or request.graph == "bls":
        return ()
    return (
        f"--long-text windows reads several rows for a text, which an ensemble cannot: {models[-1]} is the one front "
        "model",
    )


def refuse_what_triton_refuses(folder: Path, models: Sequence[str]) -> None:
    """Raise UserError for the first of the written models that Triton would not load or could not serve."""
    wrong = [finding for finding in check_repository(folder, names=models) if finding.severity == "error"]
    if wrong:
        first = min(wrong, key=lambda finding: models.index(finding.model))  # ensembles echo their models' faults
        raise UserError(f"Triton would refuse {first.model}: {first.says}; {first.mend}. Nothing was written")


def stage(
    request: Request,
    staging: Path,
    *,
    exported: Exported | None = None,
    on_progress: Progress = lambda _: None,
) -> Staged:
    """Write the models that serve `request` into `staging`, from `exported` or else from the request's source.

    Raises UserError.
    """
    check_names(request)
    exported = exported or exported_from_request(request, staging / ".export", on_progress)
    check_weights(request, exported.made.get("source", {}))
    task = request.task or exported.task
    models = models_of(
        request.name,
        exported,
        task=task_for(task, task_named(task), request.long_text),
        engine=request.engine,
        kind=ENGINES[request.engine],
        graphs=GRAPHS[request.graph],
        pre=[step_from_option(option) for option in request.pre],
        post=[step_from_option(option) for option in request.post],
        options=settings_from_words(request.options),
    )
    models = in_form(with_cache(models) if request.cache else models, request.steps)
    on_progress("Writing the model repository")
    write_models(models, staging, record_of(request, task, exported), platform=platform_of(request))
    return Staged(tuple(model.name for model in models), exported)


def check_names(request: Request) -> None:
    """Raise UserError for a name that is not in its table, or that Triton could not use as a folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", request.name):
        raise UserError(
            f"{request.name!r} cannot name a model: use letters, digits, '_', '-' and '.', a letter or digit first"
        )
    for kind, value, table in (
        ("engine", request.engine, ENGINES),
        ("graph", request.graph, GRAPHS),
        ("form", request.steps, FORMS),
        ("layout", request.layout, (AUTO, *LAYOUTS)),
    ):
        if value not in table:
            raise NoSuchName(kind, value, list(table))
    check_long_text(request.long_text)
    if request.platform is not None and request.platform not in PLATFORMS:
        raise NoSuchName("platform", request.platform, list(PLATFORMS))
    if request.task is not None:
        task = task_for(request.task, task_named(request.task), request.long_text)
        task.checked(settings_from_words(request.options))
        task.graphs_of(GRAPHS[request.graph])
    for option in (*request.pre, *request.post):
        step_from_option(option)


def check_weights(request: Request, source: Mapping[str, str]) -> None:
    """Raise UserError when the source's weights are not those that were asked for."""
    names = sorted({*request.weights, *source})
    wrong = [name for name in names if request.weights.get(name) != source.get(name)]
    if request.weights and wrong:
        raise UserError(
            f"{', '.join(wrong)} is not the one that the recipe was written for; take that checkpoint, or write the "
            "recipe anew: tbgen init --force"
        )


def platform_of(request: Request) -> str | None:
    """The processor that vendored packages are for, this machine's unless named; None for no packages."""
    return (request.platform or this_platform()) if request.vendor else None


def source_of(request: Request) -> Path:
    """The checkpoint or export that a request names; without one its name must be a preset's. Raises UserError."""
    return request.source or source_named(request.name)


def export_task(request: Request) -> str | None:
    """The task that the checkpoint is read and exported for: the named one, or what a task from elsewhere is like."""
    return (task_named(request.task).like or request.task) if request.task else None


def exported_from_request(request: Request, folder: Path, on_progress: Progress) -> Exported:
    """The export that the request's source is, or the one made from its checkpoint in `folder`."""
    source = source_of(request)
    kind, release = ENGINES[request.engine], release_to_build(request)
    if (source / "export.json").exists():
        exported = exported_from_folder(source)
        refuse_other_layout(request, exported)
        return export_to_build(exported, kind, release) if release else exported
    from tbgen.export.onnx import onnx_from_checkpoint
    from tbgen.export.sources import checkpoint_from_source

    on_progress(f"Exporting {source.name} to ONNX")
    checkpoint = checkpoint_from_source(str(source), task=export_task(request), labels=request.labels or None)
    if release is None:
        return onnx_from_checkpoint(
            checkpoint,
            folder,
            fixed_length=request.fixed_length,
            layout=layout_of(request, checkpoint),
            precision=kind.precision,
        )
    opset, precision = build_traits(release).opset, onnx_precision(kind, release)
    return export_to_build(onnx_from_checkpoint(checkpoint, folder, opset=opset, precision=precision), kind, release)


def refuse_other_layout(request: Request, exported: Exported) -> None:
    """Raise UserError when an export has not the layout that is asked for."""
    made = exported.made.get("layout", PADDED)
    if request.layout not in (AUTO, made):
        raise UserError(
            f"the export in {str(exported.folder)!r} is {made}; export it anew with --layout {request.layout}, or "
            "leave --layout out here"
        )


def layout_of(request: Request, checkpoint: Any) -> str:
    """The layout that is asked for, or the engine's where the checkpoint has it and no length is fixed."""
    from tbgen.export.packed import can_pack

    if request.layout != AUTO:
        return request.layout
    return ENGINES[request.engine].layout if can_pack(checkpoint) and request.fixed_length is None else PADDED


def release_to_build(request: Request) -> Release | None:
    """The Triton release in whose container the plan will be built, if any. Raises UserError."""
    if request.build_script is None:
        if ENGINES[request.engine].plan and not (source_of(request) / "export.json").exists():
            raise UserError(
                f"engine {request.engine} runs a TensorRT plan; build one on the GPU that will serve it (tbgen export "
                "tensorrt), or have a script written that does, with --build-script and the Triton release"
            )
        return None
    if not ENGINES[request.engine].plan:
        raise UserError(f"engine {request.engine} needs no plan; --build-script is for trt_fp16 and trt_fp32")
    return release_named(request.build_script)


def record_of(request: Request, task: str, exported: Exported) -> dict[str, Any]:
    """What made the models: tool, source and settings; no path, no time and no measurement: it can be reproduced."""
    export = export_record(exported)
    del export["parity"]
    settings = {each.name: getattr(request, each.name) for each in fields(request)}
    settings |= {"task": task, "labels": list(exported.labels), "fixed_length": exported.fixed_length}
    settings["layout"] = exported.made.get("layout", PADDED)
    settings |= {"platform": platform_of(request)}
    for side in ("pre", "post"):
        settings[side] = [with_file(option, lambda file: Path(file.name)) for option in settings[side]]
    return {
        "tbgen": version(),
        "name": settings.pop("name"),
        "source": export["made"].pop("source", {}),
        "settings": {key: value for key, value in settings.items() if key not in ("source", "weights")},
        "export": export,
    }
