"""How much shared memory a server of a repository needs: Triton's Python models are sent their tensors through it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.errors import UserError
from tbgen.generator.check.python_source import settings_to_check
from tbgen.generator.data_types import NUMPY
from tbgen.generator.models.config import PYTHON_BACKENDS, ModelConfig, config_from_file
from tbgen.generator.repository import CONFIG, model_folders
from tbgen.generator.steps.load import STEPS_FILE, listing

_SPARE = 64 << 20  # bytes, for the server and for what is not foreseen: a container's default
_REGION = 1 << 20  # each instance begins with so many, and grows
_TIMES = 2  # a batch is still there when the next one is laid down; a region keeps its gaps
_TEXT, _WORD = 4096, 64  # bytes of a string alone, and of one of many
_LONGEST = 512  # tokens of a text, where no model says it
_STEP = 64  # MiB; sizes are multiples of it


def shared_memory_mib(repository: Path) -> int:
    """MiB for /dev/shm: what all instances of the Python models take at their largest batches, and 64 to spare.

    An instance takes 1 MiB and twice the tensors of its largest batch, those of the engine that it calls among them:
    open dims are as long as the longest text that a tokenizer there gives; a string has 4 KiB, one of many 64 bytes.
    """
    models = [(config, steps) for folder in model_folders(repository) for config, steps in _python(folder)]
    lengths = [step["settings"].get("max_length", 0) for _, steps in models for step in steps]
    longest = max([length for length in lengths if length], default=_LONGEST)
    used = _SPARE + sum(_instances(config) * _bytes_of(config, steps, longest) for config, steps in models)
    return math.ceil(used / (_STEP << 20)) * _STEP


def _python(folder: Path) -> Iterable[tuple[ModelConfig, list[dict[str, Any]]]]:
    """A model's config and steps, where it is a Python model; nothing for what cannot be read, as none is served."""
    try:
        config = config_from_file(folder / CONFIG)
    except (OSError, UserError):
        return
    if config.backend in PYTHON_BACKENDS:
        yield config, [step for steps in folder.glob(f"*/{STEPS_FILE}") for step in _steps(steps)]


def _steps(file: Path) -> list[dict[str, Any]]:
    """The steps of a version folder, with the settings that can be looked at; none of a list that cannot be read."""
    try:
        return [{**step, "settings": settings_to_check(step)} for step in listing(file.parent)["steps"]]
    except UserError:
        return []


def _instances(config: ModelConfig) -> int:
    return sum(max(group.count, 1) for group in config.instance_group) or 1


def _bytes_of(config: ModelConfig, steps: Iterable[dict[str, Any]], longest: int) -> int:
    """Bytes of an instance's region."""
    rows = max(config.max_batch_size, 1)
    own = sum(_item(tensor.data_type, tensor.dims, longest) for tensor in (*config.input, *config.output))
    called = [step["settings"] for step in steps if "model" in step["settings"]]
    tensors = [spec for each in called for side in ("inputs", "outputs") for spec in each.get(side, {}).values()]
    return _REGION + _TIMES * rows * (own + sum(_item(kind, dims, longest) for kind, dims in tensors))


def _item(kind: int | str, dims: Sequence[int], longest: int) -> int:
    """Bytes of one item of a tensor; its type by its name or as a config numbers it."""
    from tritonclient.grpc.model_config_pb2 import DataType

    name = kind if isinstance(kind, str) else DataType.Name(kind)
    string = _WORD if min(dims, default=0) < 0 else _TEXT
    size = string if name == "TYPE_STRING" else np.dtype(NUMPY.get(name, np.float64)).itemsize
    return size * math.prod(longest if dim < 0 else dim for dim in dims)
