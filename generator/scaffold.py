"""`tbgen scaffold`: from a source, a checkpoint as a rule, to the models that serve it in a Triton model repository."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.exported import Exported
from tbgen.export.exported import record_of as export_record
from tbgen.export.layout import PADDED
from tbgen.export.tasks.table import task_named
from tbgen.export.tasks.task import Task
from tbgen.generator.check.check import check_repository
from tbgen.generator.compare.comparison import NOT_COMPARED, Comparison, compare
from tbgen.generator.engines import AUTO, ENGINES, GRAPHS
from tbgen.generator.models.engine_file import Progress, exported_from_request
from tbgen.generator.models.graph import Model, check_options, graphs_for, graphs_of, models_of, with_cache
from tbgen.generator.models.long_text import check_long_text, task_for
from tbgen.generator.models.shared_backend import in_form
from tbgen.generator.models.warmup import with_warmup
from tbgen.generator.models.write import write_models
from tbgen.generator.publishing import publish, staged
from tbgen.generator.repository import refuse_to_overwrite, standing_model
from tbgen.generator.request import OPTIONS, deciding
from tbgen.generator.request import Request as Request
from tbgen.generator.role import FRONT
from tbgen.generator.steps.plugins import settings_from_words, step_from_option, with_step_files
from tbgen.generator.steps.vendor import this_platform
from tbgen.generator.users import answering_otherwise, refuse_to_change_for_others
from tbgen.generator.version import version

# The order of settings in records, of those that had been there first: the bytes of a model folder stay as they were.
RECORDED = (
    *("task", "engine", "graph", "labels", "fixed_length", "layout", "vendor", "platform", "pre", "post", "steps"),
    *("options", "long_text", "cache", "warmup", "build_script"),
)
Agree = Callable[[Sequence[str], Mapping[str, str]], None]  # names of models and their source; raises UserError


@dataclass(frozen=True)
class Staged:
    """Models that are written but not yet published: their names in loading order, and what they were made from."""

    models: tuple[str, ...]
    fronts: tuple[str, ...]
    exported: Exported

    @property
    def source(self) -> dict[str, Any]:
        """What identifies the checkpoint: file name -> SHA-256."""
        return self.exported.made.get("source", {})


@dataclass(frozen=True)
class Scaffolded:
    """What scaffold wrote: the model folders in loading order, the front models, and the exported model behind them.

    comparison: how the models' answers were held against the library that wrote the checkpoint.
    warnings: what a person should know of the models that stand beside them, a sentence each.
    """

    repository: Path
    models: tuple[Path, ...]
    fronts: tuple[str, ...]
    exported: Exported
    preset: str | None
    comparison: Comparison
    warnings: tuple[str, ...] = ()


def scaffold(
    request: Request,
    repository: Path,
    *,
    force: bool = False,
    comparing: bool = True,
    on_progress: Progress = lambda _: None,
) -> Scaffolded:
    """Write the models that serve `request` into `repository`: all of them, or none. Raises UserError.

    comparing: hold their answers against those of the library that wrote the checkpoint.
    """

    def agree(names: Sequence[str], source: Mapping[str, str]) -> None:
        for name in () if force else names:
            refuse_to_overwrite(standing_model(repository / name), dict(source))

    with staged(repository) as staging:
        written = stage(request, staging, agree=agree, on_progress=on_progress)
        agree(written.models, written.source)
        if not force:
            refuse_to_change_for_others(repository, staging, written.models)
        if request.build_script is None:  # else the plan is not there yet
            refuse_what_triton_refuses(staging, written.models)
        compared = compare_staged(request, staging, written, on_progress) if comparing else NOT_COMPARED
        publish(staging, repository, written.models)
    return Scaffolded(
        repository,
        tuple(repository / name for name in written.models),
        written.fronts,
        written.exported,
        None if request.source else request.name,
        compared,
        (*bls_alone(request, written.models), *answering_otherwise(repository, written.models)),
    )


def fronts_of(models: Sequence[Model]) -> tuple[str, ...]:
    """Those of a request's models that take text and answer."""
    return tuple(model.name for model in models if model.role.part == FRONT)


def compare_staged(request: Request, staging: Path, written: Staged, on_progress: Progress) -> Comparison:
    """Hold the staged models' answers against the library's; where they are not plain, those that would be."""

    def staged_plain(plain: Request) -> tuple[Path, tuple[str, ...]]:
        if plain == request:
            return staging, written.fronts
        models = models_asked(plain, written.exported)
        write_models(models, staging / ".plain", {})
        return staging / ".plain", fronts_of(models)

    task = request.task or written.exported.task
    return compare(request, written.exported, task, staged_plain, on_progress)


def bls_alone(request: Request, models: Sequence[str]) -> tuple[str, ...]:
    """A sentence where windows left the ensemble out that was asked for."""
    if request.long_text != "windows" or request.graph in ("bls", "single", AUTO):
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
    agree: Agree = lambda *_: None,
    on_progress: Progress = lambda _: None,
) -> Staged:
    """Write the models that serve `request` into `staging`, from `exported` or else from the request's source.

    Before a checkpoint is exported, which takes long, the models are written around a file with its tensors alone, and
    `agree` is asked about them: what is wrong with the request shows at once. Raises UserError.
    """
    check_names(request)

    def foresee(expected: Exported) -> None:
        source = expected.made.get("source", {})
        check_weights(request, source)
        models = models_asked(request, expected)
        names = [model.name for model in models]
        write_models(models, staging / ".foreseen", {})
        if request.build_script is None:
            refuse_what_triton_refuses(staging / ".foreseen", names)
        agree(names, source)

    exported = exported or exported_from_request(request, staging / ".export", foresee, on_progress)
    check_weights(request, exported.made.get("source", {}))
    models = models_asked(request, exported)
    on_progress("Writing the model repository")
    record = record_of(request, request.task or exported.task, exported)
    write_models(models, staging, record, platform=platform_of(request))
    return Staged(tuple(model.name for model in models), fronts_of(models), exported)


def models_asked(request: Request, exported: Exported) -> Sequence[Model]:
    """The models that a request asks for around an exported one. Raises UserError."""
    task = request.task or exported.task
    row = row_asked(request, task)
    models = models_of(
        request.name,
        exported,
        task=row,
        engine=request.engine,
        kind=ENGINES[request.engine],
        graphs=graphs_asked(request, row),
        pre=[step_from_option(option) for option in request.pre],
        post=[step_from_option(option) for option in request.post],
        options=settings_from_words(request.options),
    )
    models = with_cache(models) if request.cache else models
    models = with_warmup(models, exported) if request.warmup else models
    return in_form(models, request.steps)


def row_asked(request: Request, task: str) -> Task:
    """The row of a task, as it treats long texts for this request. Raises UserError."""
    return task_for(task, task_named(task), request.long_text)


def graphs_asked(request: Request, task: Task) -> tuple[str, ...]:
    """The graphs that a request asks for; auto: the engine's best where the task has it, else the one that it has."""
    if request.graph != AUTO:
        return GRAPHS[request.graph]
    best = ENGINES[request.engine].graph
    return (best if best in graphs_of(task) else graphs_of(task)[0],)


def check_names(request: Request) -> None:
    """Raise UserError for a name that is not in its table, or that Triton could not use as a folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", request.name):
        raise UserError(
            f"{request.name!r} cannot name a model: use letters, digits, '_', '-' and '.', a letter or digit first"
        )
    check_long_text(request.long_text)
    for name, said in OPTIONS.items():
        word = getattr(request, name)
        if said.choices and word is not None and word not in said.choices:
            raise NoSuchName(said.noun or name, word, list(said.choices))
    if request.task is not None:
        task = row_asked(request, request.task)
        check_options(task, settings_from_words(request.options))
        graphs_for(task, graphs_asked(request, task))
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


def record_of(request: Request, task: str, exported: Exported) -> dict[str, Any]:
    """What made the models: tool, source and settings; no path, no time and no measurement: it can be reproduced."""
    export = export_record(exported)
    del export["parity"]
    export["made"].pop("chosen", None)  # words about the rest of this record
    settings = {name: getattr(request, name) for name in (*RECORDED, *OPTIONS)}
    settings |= {"task": task, "labels": list(exported.labels), "fixed_length": exported.fixed_length}
    settings["layout"] = exported.made.get("layout", PADDED)
    settings |= {"platform": platform_of(request)}
    if request.graph == AUTO:
        (settings["graph"],) = graphs_asked(request, row_asked(request, task))
    settings |= with_step_files(settings, lambda file: Path(file.name))
    return {
        "tbgen": version(),
        "name": request.name,
        "source": export["made"].pop("source", {}),
        "settings": {key: value for key, value in settings.items() if key not in deciding("source")},
        "export": export,
    }
