"""What a server of a repository needs of a machine, by rules on its configs and the sizes of its files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tbgen.export.errors import UserError
from tbgen.export.files import ENGINE_SUFFIXES
from tbgen.generator.models.config import PYTHON_BACKENDS, ModelConfig
from tbgen.generator.rules.onnxruntime import THREADS
from tbgen.generator.shared_memory import shared_memory_mib

_MIB, _GIB = 1 << 20, 1 << 30
_SERVER = 256  # MiB of tritonserver itself
_PROCESS = 128  # MiB of the process of a Python model's instance, with numpy and a tokenizer
_BATCHES = 512  # MiB of an engine's instance beside its weights, for its largest batch
_LOADED = 2  # times the weights: what is read and what the runtime makes of it are there at once
_DRIVER = 2048  # MiB of host memory that CUDA and its libraries take
_TEMPORARY, _UNPACKED = 1024, 5  # MiB of /tmp; times an archive of packages, which Triton unpacks there
_STEP = 128  # MiB; memory is a multiple of it
_CPUS = 2  # where no config names its threads
_LOAD, _LOAD_GIB = 120, 60  # seconds: of any models, more for a GiB
PLAN_SECONDS = 1800  # in which TensorRT builds


@dataclass(frozen=True)
class Sizes:
    """Of one server. MiB: memory, shared_memory in it; temporary, of /tmp; files, the repository. startup: seconds."""

    cpus: int
    gpus: int
    memory: int
    shared_memory: int
    temporary: int
    files: int
    startup: int


def sizes_of(
    repository: Path, configs: Mapping[str, ModelConfig], *, cpus: int | None = None, memory: int | None = None
) -> Sizes:
    """What a server needs; `cpus` and `memory` (MiB) in the place of what the rules say. Raises UserError for less."""
    shared = shared_memory_mib(repository)
    gpu = any(_on_gpu(config) for config in configs.values())
    models = sum(_memory(repository / name, config) for name, config in configs.items())
    needed = _ceil(_SERVER + models + shared + (_DRIVER if gpu else 0), _STEP)
    files = math.ceil(_bytes(repository.rglob("*")) / _MIB)
    if memory is not None and memory < needed:
        raise UserError(
            f"{memory} MiB of memory do not hold these models: a server of them takes {needed}, {shared} of them "
            f"shared memory; give --memory {needed}, or fewer instances"
        )
    threads = sum(_threads(config) for config in configs.values())
    startup = _LOAD + _LOAD_GIB * math.ceil(files * _MIB / _GIB) + (PLAN_SECONDS if _builds(configs.values()) else 0)
    temporary = _TEMPORARY + math.ceil(_UNPACKED * _bytes(repository.glob("*/*.tar.gz")) / _MIB)
    return Sizes(cpus or threads or _CPUS, int(gpu), memory or needed, shared, temporary, files, startup)


def _memory(folder: Path, config: ModelConfig) -> int:
    """MiB of all instances of a model."""
    weights = _bytes(file for file in folder.rglob("*") if file.suffix in ENGINE_SUFFIXES) / _MIB
    process = _PROCESS if config.backend in PYTHON_BACKENDS else 0
    each = process + (_LOADED * weights + _BATCHES if weights else 0)
    return math.ceil(each * sum(max(1, group.count) for group in config.instance_group) or each)


def _bytes(entries: Iterable[Path]) -> int:
    """Of the files among entries."""
    return sum(entry.stat().st_size for entry in entries if entry.is_file())


def _on_gpu(config: ModelConfig) -> bool:
    """Whether a model's instances run on GPUs alone: as it says, or for TensorRT has no other."""
    plan = "tensorrt" in (config.backend, config.platform.partition("_")[0])
    return plan or any(group.kind == ModelInstanceGroup.KIND_GPU for group in config.instance_group)


def _threads(config: ModelConfig) -> int:
    """Threads of all instances of an engine, as far as its config names them."""
    said = config.parameters[THREADS].string_value if config.parameters else ""
    count = sum(max(1, group.count) for group in config.instance_group) or 1
    return count * int(said) if said.isdecimal() and len(said) < 10 else 0


def _builds(configs: Iterable[ModelConfig]) -> bool:
    """Whether TensorRT builds an engine while a model is loaded."""
    accelerators = (config.optimization.execution_accelerators.gpu_execution_accelerator for config in configs)
    return any(each.name == "tensorrt" for listed in accelerators for each in listed)


def _ceil(value: float, step: int) -> int:
    return math.ceil(value / step) * step
