"""Rules on a config by itself: the core's, and on settings of backends that are wrong, unknown or without effect."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model
from tbgen.generator.models.config import PYTHON_BACKENDS
from tbgen.generator.rules import onnxruntime, tensorrt
from tbgen.generator.rules.core import config
from tbgen.generator.rules.problem import Effect, not_served
from tbgen.generator.steps.environment import EXECUTION_ENV

_CORE_PARAMETERS = ("TRITON_BATCH_STRATEGY_PATH",)
_ONLY_CPU = "FORCE_CPU_ONLY_INPUT_TENSORS"  # python_backend's only switch


def _as_the_backend_reads_them(model: Model) -> Iterator[Finding]:
    """The values of the backend's own parameters, and what it reads before the core judges the rest."""
    if model.config.backend == "onnxruntime":
        yield from model.found(onnxruntime.batch_tensor_problems(model.values))
        yield from model.found(onnxruntime.parameter_problems(model.values))
    elif model.config.backend == "python" and _ONLY_CPU in model.config.parameters:
        text = model.config.parameters[_ONLY_CPU].string_value
        if text not in ("yes", "no"):
            says = f"Incorrect value for {_ONLY_CPU}: {text}'"
            yield model.refused(f'parameters["{_ONLY_CPU}"]', says, f"mend the value of {_ONLY_CPU}")


def _not_in_the_embedded_server(model: Model) -> Iterator[Finding]:
    """What NVIDIA's backends serve and their stand-ins do not."""
    fields = {"onnxruntime": onnxruntime.NOT_SERVED, "tensorrt": tensorrt.NOT_SERVED}.get(model.config.backend, ())
    yield from model.found(replace(problem, effect="advice") for problem in not_served(model.values, fields))


def _as_the_core_takes_it(model: Model) -> Iterator[Finding]:
    """What Triton's core holds against the config by itself."""
    yield from model.found(config.problems(model.config))


def _parameters_nobody_reads(model: Model) -> Iterator[Finding]:
    """onnxruntime silently ignores what it does not know. A Python model reads what it likes."""
    if model.config.backend != "onnxruntime":
        return
    known = [*onnxruntime.PARAMETERS, *onnxruntime.OTHER_PARAMETERS, *_CORE_PARAMETERS]
    for key in sorted(model.config.parameters):
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.6)
            mend = f"write {near[0]}" if near else f"remove it; known: {', '.join(known)}"
            yield model.advice(f'parameters["{key}"]', f"ignores the parameter {key}", mend)


def _environment_is_there(model: Model) -> Iterator[Finding]:
    """A Python model's packed environment, as far as it lies in the model's folder."""
    path = model.config.parameters[EXECUTION_ENV].string_value if has_environment(model) else ""
    where = f'parameters["{EXECUTION_ENV}"]'
    inside = "$$TRITON_MODEL_DIRECTORY"
    if path.startswith(inside):
        file = model.folder / path.removeprefix(inside).lstrip("/")
        if not file.exists():
            says = f"Failed to get the canonical path for {file}."
            yield model.refused(where, says, f"put {file.name} into the model's folder, or mend the path")
    elif path and not path.startswith(("/", "s3://", "gs://", "as://")):
        says = f"looks for {path} in the folder that the server was started in"
        yield model.advice(where, says, f"write {inside}/{path}")


def has_environment(model: Model) -> bool:
    """Whether a Python model brings its own packages."""
    return model.config.backend in PYTHON_BACKENDS and EXECUTION_ENV in model.config.parameters


def _accelerators(model: Model) -> Iterator[Finding]:
    """Execution accelerators: known ones, and only those of the instances' device have an effect."""
    if model.config.backend != "onnxruntime":
        return
    yield from model.found(onnxruntime.accelerator_problems(model.values, "cpu"))
    if not _only_on(model, ModelInstanceGroup.KIND_CPU):
        effect: Effect = "refused" if _only_on(model, ModelInstanceGroup.KIND_GPU) else "advice"
        problems = (*onnxruntime.accelerator_problems(model.values, "gpu"), *onnxruntime.cuda_problems(model.values))
        yield from model.found(replace(problem, effect=effect) for problem in problems)
        return
    wanted = model.config.optimization.execution_accelerators
    for index, accelerator in enumerate(wanted.gpu_execution_accelerator):
        place = f"optimization.execution_accelerators.gpu_execution_accelerator[{index}]"
        says = f"ignores the accelerator {accelerator.name}: all instances are on CPUs"
        yield model.advice(place, says, "write instance_group { kind: KIND_GPU }, or remove the accelerator")


def _only_on(model: Model, kind: ModelInstanceGroup.Kind.ValueType) -> bool:
    """Whether all instances are of one kind."""
    groups = model.config.instance_group
    return bool(groups) and all(group.kind == kind for group in groups)


RULES = (
    _as_the_backend_reads_them,
    _parameters_nobody_reads,
    _environment_is_there,
    _accelerators,
    _as_the_core_takes_it,
)
