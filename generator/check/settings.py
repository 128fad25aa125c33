"""Rules on the settings of backends: parameters and accelerators that are wrong, unknown or without effect."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model
from tbgen.generator.models.config import PYTHON_BACKENDS


def whole_number(text: str) -> str:
    """Triton's refusal of a text that does not begin with a whole number; nothing when it does."""
    return "" if re.match(r"\s*[+-]?\d", text) else f"failed to convert '{text}' to integral number"


def switch(text: str) -> str:
    """The refusal of a text that is no switch."""
    known = text.lower() in ("true", "on", "1", "false", "off", "0")
    return "" if known else f"failed to convert '{text}' to boolean"


def execution_mode(text: str) -> str:
    """The refusal of an execution mode other than 0 and 1."""
    if problem := whole_number(text):
        return problem
    mode = int(re.match(r"\s*[+-]?\d+", text)[0])  # type: ignore[index]
    known = mode in (0, 1)
    begins = "Invalid configuration value provided. Expected values for  execution_mode are 0 or 1"
    return "" if known else f"{begins} but got {mode} ."


def yes_or_no(text: str) -> str:
    """The refusal of python_backend's only switch."""
    return "" if text in ("yes", "no") else f"Incorrect value for FORCE_CPU_ONLY_INPUT_TENSORS: {text}'"


def anything(text: str) -> str:  # noqa: ARG001
    """No value is refused while the model loads on a CPU."""
    return ""


Judge = Callable[[str], str]

# Backend -> its parameters and what judges their values.
PARAMETERS: dict[str, dict[str, Judge]] = {
    "onnxruntime": {
        "execution_mode": execution_mode,
        "intra_op_thread_count": whole_number,
        "inter_op_thread_count": whole_number,
        "enable_mem_arena": switch,
        "enable_mem_pattern": switch,
        "memory.enable_memory_arena_shrinkage": anything,
        "cudnn_conv_algo_search": anything,
        "gpu_mem_limit": anything,
        "arena_extend_strategy": anything,
        "do_copy_in_default_stream": anything,
    },
    "python": {
        "EXECUTION_ENV_PATH": anything,
        "FORCE_CPU_ONLY_INPUT_TENSORS": yes_or_no,
    },
}
CORE_PARAMETERS = ("TRITON_BATCH_STRATEGY_PATH",)
GPU_ACCELERATORS = ("tensorrt", "cuda")
CPU_ACCELERATORS = ("openvino",)


def parameter_values(model: Model) -> Iterator[Finding]:
    """The values of the backend's own parameters."""
    for key, judge in PARAMETERS.get(model.config.backend, {}).items():
        if key in model.config.parameters and (problem := judge(model.config.parameters[key].string_value)):
            yield model.refused(f'parameters["{key}"]', problem, f"mend the value of {key}")


def parameters_nobody_reads(model: Model) -> Iterator[Finding]:
    """onnxruntime silently ignores what it does not know. A Python model reads what it likes."""
    if model.config.backend != "onnxruntime":
        return
    known = [*PARAMETERS["onnxruntime"], *CORE_PARAMETERS]
    for key in sorted(model.config.parameters):
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.6)
            mend = f"write {near[0]}" if near else f"remove it; known: {', '.join(known)}"
            yield model.advice(f'parameters["{key}"]', f"ignores the parameter {key}", mend)


def environment_is_there(model: Model) -> Iterator[Finding]:
    """A Python model's packed environment, as far as it lies in the model's folder."""
    path = model.config.parameters["EXECUTION_ENV_PATH"].string_value if has_environment(model) else ""
    where = 'parameters["EXECUTION_ENV_PATH"]'
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
    return model.config.backend in PYTHON_BACKENDS and "EXECUTION_ENV_PATH" in model.config.parameters


def accelerators(model: Model) -> Iterator[Finding]:
    """Execution accelerators: known ones, and only those of the instances' device have an effect."""
    if model.config.backend != "onnxruntime":
        return
    where = "optimization.execution_accelerators"
    wanted = model.config.optimization.execution_accelerators
    for index, accelerator in enumerate(wanted.cpu_execution_accelerator):
        if accelerator.name not in CPU_ACCELERATORS:
            yield model.refused(
                f"{where}.cpu_execution_accelerator[{index}]",
                f"unknown Execution Accelerator '{accelerator.name}' is requested",
                f'write name: "{CPU_ACCELERATORS[0]}", or move it to gpu_execution_accelerator',
            )
    for index, accelerator in enumerate(wanted.gpu_execution_accelerator):
        place = f"{where}.gpu_execution_accelerator[{index}]"
        if only_on_cpus(model):
            says = f"ignores the accelerator {accelerator.name}: all instances are on CPUs"
            yield model.advice(place, says, "write instance_group { kind: KIND_GPU }, or remove the accelerator")
        elif accelerator.name not in GPU_ACCELERATORS:
            says = f"unknown Execution Accelerator '{accelerator.name}' is requested"
            yield model.finding(
                "refused" if only_on_gpus(model) else "advice", place, says, 'write name: "tensorrt" or "cuda"'
            )


def only_on_cpus(model: Model) -> bool:
    """Whether no instance can be on a GPU."""
    groups = model.config.instance_group
    return bool(groups) and all(group.kind == ModelInstanceGroup.KIND_CPU for group in groups)


def only_on_gpus(model: Model) -> bool:
    """Whether all instances must be on GPUs."""
    groups = model.config.instance_group
    return bool(groups) and all(group.kind == ModelInstanceGroup.KIND_GPU for group in groups)


RULES = (parameter_values, parameters_nobody_reads, environment_is_there, accelerators)
