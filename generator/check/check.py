"""`tbgen check`: Triton's own rules on a model repository, offline, without loading a weight."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.generator.calls import parts_of_ensemble
from tbgen.generator.check import (
    clients,
    folders,
    lengths,
    names,
    onnx_graph,
    plan,
    python_model,
    ragged,
    records,
    schema,
    settings,
    steps,
    warm_up,
    wiring,
)
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository, read_repository
from tbgen.generator.check.weights import weight_findings
from tbgen.generator.releases import release_named
from tbgen.generator.repository import CONFIG, NoModels, refuse_empty_repository
from tbgen.generator.rules.problem import NOT_THERE

# Each with RULES on one model by itself, REPOSITORY_RULES on a model among the others or for a release, or both; in
# about the order in which Triton applies them.
_STORIES: tuple[Any, ...] = (
    schema,
    folders,
    settings,
    names,
    clients,
    warm_up,
    onnx_graph,
    ragged,
    plan,
    python_model,
    steps,
    wiring,
    records,
    lengths,
)


def check_repository(
    folder: Path,
    *,
    release: str | None = None,
    names: Collection[str] | None = None,
    weights: bool = False,
    to_build: Collection[str] = (),
) -> list[Finding]:
    """Everything that is wrong with a repository's models, by name; a model's errors first, in the order of the rules.

    release: the tag of the Triton container that is to load it, such as 24.10.
    names: look at these models alone, as if no other were there; all folders when it is None.
    weights: read the ONNX files' weights too.
    to_build: models whose engine file is built where they are served; that it is not there is no fault of theirs.
    Raises UserError, NoSuchName.
    """
    refuse_empty_repository(folder, filled_later=True)
    if (folder / CONFIG).is_file():
        raise UserError(f"{str(folder)!r} is one model; name the repository, the folder that it lies in")
    repository = read_repository(folder, release_named(release) if release else None, names)
    if not repository.models:
        raise NoModels(folder)
    findings = [finding for model in repository.models.values() for finding in _findings_of(model, repository)]
    if weights:
        findings += [finding for model in repository.models.values() for finding in weight_findings(model)]
    findings = [each for each in findings if each.model not in to_build or not each.says.startswith(NOT_THERE)]
    findings += _dependent_ensembles(repository, findings)
    return sorted(dict.fromkeys(findings), key=lambda finding: (finding.model, finding.severity))


def _findings_of(model: Model, repository: Repository) -> Iterator[Finding]:
    """All rules on one model; of a config that does not parse, only what stops the parser."""
    if model.parse_error:
        for rule in schema.RULES:
            yield from rule(model)
        return
    for rule in (rule for story in _STORIES for rule in getattr(story, "RULES", ())):
        yield from rule(model)
    for rule in (rule for story in _STORIES for rule in getattr(story, "REPOSITORY_RULES", ())):
        yield from rule(model, repository)


def _dependent_ensembles(repository: Repository, findings: list[Finding]) -> Iterator[Finding]:
    """The ensembles that Triton does not load because it does not load one of their steps."""
    causes = {finding.model: finding.says for finding in findings if finding.effect == "refused"}
    waiting = [model for model in repository.models.values() if model.is_ensemble]
    found = True
    while found:
        found = False
        for model in waiting:
            broken = next((name for name in sorted(parts_of_ensemble(model.values)) if name in causes), None)
            if broken and model.name not in causes:
                found = True
                says = f"ensemble '{model.name}' depends on '{broken}' which has no loaded version."
                causes[model.name] = says
                yield model.refused("ensemble_scheduling", says, f"mend {broken}")
