"""`tbgen check`: Triton's own rules on a model repository, offline, without loading a weight."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.generator.check import (
    clients,
    folders,
    lengths,
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
from tbgen.generator.check.model import CONFIG, Model, Repository, read_repository
from tbgen.generator.releases import release_named
from tbgen.generator.repository import NoModels, refuse_empty_repository
from tbgen.generator.rules.core import config


def core_config(model: Model) -> Iterator[Finding]:
    """What Triton's core holds against the config by itself."""
    yield from model.found(config.problems(model.config))


ModelRule = Callable[[Model], Iterator[Finding]]
RepositoryRule = Callable[[Model, Repository], Iterator[Finding]]

# Rules on one model by itself, in about the order in which Triton applies them.
MODEL_RULES: tuple[ModelRule, ...] = (
    *schema.RULES,
    *folders.RULES,
    *settings.RULES,
    core_config,
    *clients.RULES,
    *warm_up.RULES,
    *onnx_graph.RULES,
    *ragged.RULES,
    *plan.RULES,
    *python_model.RULES,
    *steps.RULES,
    *lengths.RULES,
)
# Rules on a model among the others, or for a release.
REPOSITORY_RULES: tuple[RepositoryRule, ...] = (
    *schema.REPOSITORY_RULES,
    *clients.REPOSITORY_RULES,
    *onnx_graph.REPOSITORY_RULES,
    *python_model.REPOSITORY_RULES,
    *plan.REPOSITORY_RULES,
    *wiring.REPOSITORY_RULES,
    *records.REPOSITORY_RULES,
    *lengths.REPOSITORY_RULES,
)


def check_repository(
    folder: Path, *, release: str | None = None, names: Collection[str] | None = None
) -> list[Finding]:
    """Everything that is wrong with a repository's models, by name; a model's errors first, in the order of the rules.

    release: the tag of the Triton container that is to load it, such as 24.10.
    names: look at these models alone, as if no other were there; all folders when it is None.
    Raises UserError, NoSuchName.
    """
    refuse_empty_repository(folder, filled_later=True)
    if (folder / CONFIG).is_file():
        raise UserError(f"{str(folder)!r} is one model; name the repository, the folder that it lies in")
    repository = read_repository(folder, release_named(release) if release else None, names)
    if not repository.models:
        raise NoModels(folder)
    findings = [finding for model in repository.models.values() for finding in findings_of(model, repository)]
    findings += dependent_ensembles(repository, findings)
    return sorted(dict.fromkeys(findings), key=lambda finding: (finding.model, finding.severity))


def findings_of(model: Model, repository: Repository) -> Iterator[Finding]:
    """All rules on one model; of a config that does not parse, only what stops the parser."""
    if model.parse_error:
        for rule in schema.RULES:
            yield from rule(model)
        return
    for model_rule in MODEL_RULES:
        yield from model_rule(model)
    for repository_rule in REPOSITORY_RULES:
        yield from repository_rule(model, repository)


def dependent_ensembles(repository: Repository, findings: list[Finding]) -> Iterator[Finding]:
    """The ensembles that Triton does not load because it does not load one of their steps."""
    causes = {finding.model: finding.says for finding in findings if finding.effect == "refused"}
    waiting = [model for model in repository.models.values() if model.is_ensemble]
    found = True
    while found:
        found = False
        for model in waiting:
            names = {step.model_name for step in model.config.ensemble_scheduling.step}
            broken = next((name for name in sorted(names) if name in causes), None)
            if broken and model.name not in causes:
                found = True
                says = f"ensemble '{model.name}' depends on '{broken}' which has no loaded version."
                causes[model.name] = says
                yield model.refused("ensemble_scheduling", says, f"mend {broken}")
