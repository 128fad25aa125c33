"""Rules on an ensemble against the models it calls: they are there, load, and their tensors fit to one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInput, ModelOutput

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository
from tbgen.generator.rules.core.ensemble import STEP
from tbgen.generator.rules.problem import alike, shape_text

EnsembleStep: TypeAlias = Any  # ModelEnsembling.Step, a message that types cannot name


@dataclass(frozen=True)
class Wire:
    """What is known of an ensemble's tensor: from which model, its type, its dims without and with the batch axis."""

    model: str
    data_type: int
    dims: tuple[int, ...]
    full: tuple[int, ...]


def _steps_are_there(model: Model, repository: Repository) -> Iterator[Finding]:
    """Each step's model is in the repository, in the version that is asked for."""
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        part = repository.models.get(step.model_name)
        if step.model_name and part is None:
            says = f"ensemble {model.name} contains models that are not available or ambiguous: {step.model_name}"
            there = ", ".join(sorted(repository.models.keys() - {model.name}))
            yield model.refused(f"{STEP}[{index}].model_name", says, f"there are: {there}")
        elif part and step.model_version != -1 and step.model_version not in part.versions:
            says = (
                f"ensemble '{model.name}' depends on '{part.name}' whose required version {step.model_version} is not "
            )
            mend = "write model_version: -1 for the newest, or add the version"
            yield model.refused(f"{STEP}[{index}].model_version", f"{says}loaded.", mend)


def _no_circle(model: Model, repository: Repository) -> Iterator[Finding]:
    """No ensemble calls itself, directly or through others."""
    if path := _circle_through(repository, model.name):
        says = f"circular dependency between ensembles: {model.name} -> ... -> {path[-1]} -> {model.name}"
        mend = f"take one of these steps out: {' -> '.join((model.name, *path[1:], model.name))}"
        yield model.refused("ensemble_scheduling", says, mend)


def _circle_through(repository: Repository, goal: str) -> list[str]:
    """The ensembles from `goal` to the one that calls it again; empty when there is no such way."""
    ways, waiting = {goal: [goal]}, [goal]
    for name in waiting:
        config = repository.models[name].config if name in repository.models else ModelConfig()
        for called in (step.model_name for step in config.ensemble_scheduling.step):
            if called == goal:
                return ways[name]
            if called not in ways:
                ways[called] = [*ways[name], called]
                waiting.append(called)
    return []


def _batches_fit(model: Model, repository: Repository) -> Iterator[Finding]:
    """No step takes fewer rows than the ensemble lets in."""
    for index, step, part in _steps_with_models(model, repository):
        if 0 < part.max_batch_size < model.config.max_batch_size:
            yield model.refused(
                "max_batch_size",
                f"ensemble {model.name} allows maximum batch size {model.config.max_batch_size}, but it contains model "
                f"{step.model_name} which only allows maximum batch size to be {part.max_batch_size}",
                f"write max_batch_size: {part.max_batch_size} here, or raise it in {step.model_name} (step {index})",
            )


def _tensors_fit(model: Model, repository: Repository) -> Iterator[Finding]:
    """Names, types and dims along every wire."""
    wires = _own_wires(model)
    for index, step, part in _steps_with_models(model, repository):
        yield from _names_exist(model, index, step, part)
        for place, tensor_name, tensor in _ends_of(index, step, part):
            wire = _wire_of(step.model_name, tensor, part.max_batch_size > 0, tensor.dims)
            known = wires.setdefault(tensor_name, wire)
            if problem := _difference(known, wire):
                says = f"in ensemble {model.name}, ensemble tensor {tensor_name}: {problem}"
                yield model.refused(place, says, f"let {known.model} and {wire.model} agree on {tensor_name}")


def _names_exist(model: Model, index: int, step: EnsembleStep, part: ModelConfig) -> Iterator[Finding]:
    """Maps name tensors of the step's model, and every input that it must have."""
    begins = f"in ensemble {model.name}, ensemble tensor"
    for kind, wired, tensors, words in (
        ("input", step.input_map, part.input, "is mapping to non-existing input"),
        ("output", step.output_map, part.output, "is mapped from non-existing output"),
    ):
        known = [tensor.name for tensor in tensors]
        for key, value in sorted((key, value) for key, value in wired.items() if key not in known):
            says = f"{begins} {value} {words} {key} in model {step.model_name}"
            yield model.refused(f'{STEP}[{index}].{kind}_map["{key}"]', says, f"its {kind}s: {', '.join(known)}")
    for tensor in part.input:
        if tensor.name not in step.input_map and not tensor.optional:
            says = f"in ensemble {model.name}, input {tensor.name} in model {step.model_name} is not mapped to any "
            mend = f'add input_map {{ key: "{tensor.name}" value: "..." }}'
            yield model.refused(f"{STEP}[{index}]", f"{says}ensemble tensors", mend)


def _decoupled_steps(model: Model, repository: Repository) -> Iterator[Finding]:
    """A step's inputs come from one decoupled model at most: others answer another number of times."""
    origin = {tensor.name: "" for tensor in model.config.input}  # tensor -> the decoupled model it came through
    waiting = list(_steps_with_models(model, repository))
    while ready := [row for row in waiting if all(tensor in origin for tensor in row[1].input_map.values())]:
        for index, step, part in ready:
            origins = {origin[tensor] for tensor in step.input_map.values()}
            if len(origins) > 1:
                ends_here = {tensor.name for tensor in model.config.output} & set(step.output_map.values())
                name = model.name if ends_here else step.model_name
                yield model.refused(
                    f"{STEP}[{index}]",
                    f"in ensemble {model.name}, step of model '{name}' receives inputs originated from different "
                    "decoupled models",
                    "let all its inputs come through the same decoupled model",
                )
            through = f"{index}" if part.model_transaction_policy.decoupled else min(origins, default="")
            origin |= dict.fromkeys(step.output_map.values(), through)
        waiting = [row for row in waiting if row not in ready]


def _steps_with_models(model: Model, repository: Repository) -> Iterator[tuple[int, EnsembleStep, ModelConfig]]:
    """The steps whose models are there and whose tensors are known without running them."""
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        part = repository.models.get(step.model_name)
        if part and part.versions and part.tensors_known:
            yield index, step, part.completed


def _own_wires(model: Model) -> dict[str, Wire]:
    """The ensemble's inputs and outputs."""
    config = model.config
    return {
        tensor.name: _wire_of(
            model.name,
            tensor,
            config.max_batch_size > 0,
            tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims,
        )
        for tensor in (*config.output, *config.input)
    }


def _ends_of(index: int, step: EnsembleStep, part: ModelConfig) -> Iterator[tuple[str, str, ModelInput | ModelOutput]]:
    """Where each wire meets the step: the path of the map's entry, the ensemble's name, the model's tensor."""
    for name, wired, tensors in (
        ("input_map", step.input_map, part.input),
        ("output_map", step.output_map, part.output),
    ):
        for tensor in tensors:
            if tensor.name in wired:
                yield f'{STEP}[{index}].{name}["{tensor.name}"]', wired[tensor.name], tensor


def _wire_of(model: str, tensor: ModelInput | ModelOutput, batching: bool, dims: Sequence[int]) -> Wire:
    """A tensor as one model knows it."""
    return Wire(model, tensor.data_type, tuple(dims), (-1, *dims) if batching else tuple(dims))


def _difference(first: Wire, second: Wire) -> str:
    """What two models say differently of one tensor, in Triton's words; an open dimension fits any size."""
    if first.data_type != second.data_type:
        return (
            f"inconsistent data type: {DataType.Name(first.data_type)} is inferred from model {first.model} while "
            f"{DataType.Name(second.data_type)} is inferred from model {second.model}"
        )
    if not alike(first.dims, second.dims) and not alike(first.full, second.full):
        return (
            f"inconsistent shape: {shape_text(first.full)} is inferred from model {first.model} while "
            f"{shape_text(second.full)} is inferred from model {second.model}"
        )
    return ""


REPOSITORY_RULES = (_steps_are_there, _no_circle, _batches_fit, _tensors_fit, _decoupled_steps)
