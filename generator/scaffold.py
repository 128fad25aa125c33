"""`tbgen scaffold`: from a source, a checkpoint as a rule, to the models that serve it in a Triton model repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.exported import record_of as export_record
from tbgen.generator.calls import config_in
from tbgen.generator.check.check import check_repository
from tbgen.generator.compare.comparison import NOT_COMPARED, Comparison, compare
from tbgen.generator.compare.example import NoExampleError, example_item
from tbgen.generator.compose import Composition, compose
from tbgen.generator.graphs import AUTO
from tbgen.generator.models.config import values_from_config
from tbgen.generator.models.engine_file import Progress, expected_engine, export_engine
from tbgen.generator.models.graph import PythonModel
from tbgen.generator.models.write import write_models
from tbgen.generator.publishing import publish, staging_folder
from tbgen.generator.repository import existing_model, refuse_to_overwrite
from tbgen.generator.request import OPTIONS, deciding
from tbgen.generator.request import Request as Request
from tbgen.generator.resolve import ResolvedRequest, resolve
from tbgen.generator.role import FRONT, TOKENIZER
from tbgen.generator.steps.plugins import with_step_files
from tbgen.generator.users import answering_otherwise, refuse_to_change_for_others
from tbgen.generator.version import version

# The settings that a record keeps: not where a source lies on one machine; in an order that keeps the records' bytes.
_FIRST = ("task", "engine", "graph", "labels", "fixed_length", "layout", "vendor", "platform", "pre", "post", "steps")
_SETTINGS = tuple(name for name in dict.fromkeys((*_FIRST, *OPTIONS)) if name not in deciding("source"))


@dataclass(frozen=True)
class Scaffolded:
    """What scaffold wrote: the model folders in loading order, the front models, and the exported model behind them.

    Attributes:
        request: what was asked for, with the device and the engine that were chosen.
        comparison: how the models' answers were held against the library that wrote the checkpoint.
        warnings: what a person should know of the models that stand beside them, a sentence each.
    """

    request: Request
    repository: Path
    models: tuple[Path, ...]
    fronts: tuple[str, ...]
    exported: Exported
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
    with staging_folder(repository) as staging:
        resolved = resolve(request)
        expected = expected_models(resolved, staging)
        if expected:
            _refuse_to_replace(repository, expected, force=force)
        exported = export_engine(resolved, staging / ".export", on_progress)
        composition = compose(resolved, exported)
        on_progress("Writing the model repository")
        write_composition(composition, staging)
        _refuse_to_replace(repository, composition, force=force)
        if not force:
            refuse_to_change_for_others(repository, staging, composition.names)
        if resolved.release is None:  # else the plan is not there yet
            refuse_what_triton_refuses(staging, composition.names)
        compared = compare(composition, staging, repository, on_progress) if comparing else NOT_COMPARED
        names = composition.names
        lost = _edits(repository, names) if force else ()
        publish(staging, repository, names, partial(_refuse_to_replace, repository, composition, force=force))
    return Scaffolded(
        composition.resolved.request,
        repository,
        tuple(repository / name for name in names),
        composition.fronts,
        exported,
        compared,
        (*lost, *_bls_alone(composition), *_cold(composition, repository), *answering_otherwise(repository, names)),
    )


def expected_models(resolved: ResolvedRequest, staging: Path) -> Composition | None:
    """The models that there will be, before a checkpoint is exported, which takes long; None for other sources.

    They are written around a file that has the engine's tensors alone: what is wrong shows. Raises UserError.
    """
    expected = expected_engine(resolved, staging / ".expected")
    if expected is None:
        return None
    composition = compose(resolved, expected)
    write_models(composition.models, staging / ".foreseen", {})
    if resolved.release is None:
        refuse_what_triton_refuses(staging / ".foreseen", composition.names)
    return composition


def _refuse_to_replace(repository: Path, composition: Composition, *, force: bool) -> None:
    """Raise UserError where a model stands that is edited, another's, or another checkpoint's; not with `force`."""
    for name in () if force else composition.names:
        refuse_to_overwrite(existing_model(repository / name), composition.source)


def _edits(repository: Path, names: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each standing model with what a person did there, which goes with it."""
    standing = filter(None, (existing_model(repository / name) for name in names))
    return tuple(
        f"{model.folder} was replaced with what you had in it: {', '.join(model.edited[:5])}"
        for model in standing
        if model.edited
    )


def write_composition(composition: Composition, folder: Path) -> None:
    """Write the models, with their records, and the packages that come along. Raises UserError."""
    write_models(composition.models, folder, _record_of(composition), platform=composition.resolved.platform)


def refuse_what_triton_refuses(folder: Path, names: Sequence[str]) -> None:
    """Raise UserError for the first of the written models that Triton would not load or could not serve."""
    wrong = [finding for finding in check_repository(folder, names=names) if finding.severity == "error"]
    if wrong:
        first = min(wrong, key=lambda finding: names.index(finding.model))  # ensembles echo their models' faults
        raise UserError(f"Triton would refuse {first.model}: {first.says}; {first.mend}. Nothing was written")


def _bls_alone(composition: Composition) -> tuple[str, ...]:
    """A sentence where windows left the ensemble out that was asked for."""
    request = composition.resolved.request
    if request.long_text != "windows" or request.graph in ("bls", "single", AUTO):
        return ()
    return (
        "--long-text windows reads several rows for a text, which an ensemble cannot: "
        f"{composition.names[-1]} is the one front model",
    )


def _cold(composition: Composition, repository: Path) -> tuple[str, ...]:
    """A sentence for each model of texts that --warmup leaves out, since nothing says what an item of it holds."""
    said = []
    for model in composition.models:
        if isinstance(model, PythonModel) and model.warmed and model.role.part in (FRONT, TOKENIZER):
            config = config_in(repository / model.name)
            try:
                example_item(values_from_config(config) if config else {}, repository / model.name)
            except NoExampleError as error:
                said.append(f"{model.name} is not warmed up: {error.message}; give that step one, and scaffold anew")
    return tuple(said)


def _record_of(composition: Composition) -> dict[str, Any]:
    """What made the models: tool, source and settings; no path, no time and no measurement: it can be reproduced."""
    request, exported = composition.resolved.request, composition.exported
    record = export_record(exported)
    del record["parity"]
    record["made"].pop("chosen", None)  # words about the rest of this record
    settings = {name: getattr(request, name) for name in _SETTINGS}
    settings |= {
        "task": composition.task,
        "labels": list(exported.labels),
        "fixed_length": exported.fixed_length,
        "layout": exported.made.layout,
        "platform": composition.resolved.platform,
        **with_step_files(settings, lambda file: Path(file.name)),
    }
    if request.graph == AUTO:
        (settings["graph"],) = composition.graphs
    return {
        "tbgen": version(),
        "name": request.name,
        "source": record["made"].pop("source", {}),
        "settings": settings,
        "export": record,
    }
