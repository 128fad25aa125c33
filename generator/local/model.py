"""One model that runs in this process: its Python file, or the embedded server's stand-in for its backend."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelInstanceGroup

import tbgen.backends
from tbgen.export.errors import UserError
from tbgen.export.reading import refuse_special
from tbgen.export.run import Tensors, cuda_here
from tbgen.generator.data_types import data_type_of
from tbgen.generator.local import backend_utils as utils
from tbgen.generator.local.backend_tensors import Tensor, array_as_sent
from tbgen.generator.models.config import SHARED_BACKEND, ModelConfig, config_from_file, values_from_config
from tbgen.generator.repository import CONFIG
from tbgen.generator.rules.core import requests
from tbgen.generator.rules.core.complete import complete_backend, versions_of
from tbgen.generator.rules.core.config import problems
from tbgen.generator.rules.problem import takes
from tbgen.generator.steps.load import check_tokenizer_of, module_from_file

GENERATOR = Path(__file__).parents[1]
STANDINS = GENERATOR / "standins"  # for NVIDIA's C++ backends
_FOLDERS = {  # of the backends' files
    SHARED_BACKEND: Path(next(iter(tbgen.backends.__path__))),
    "onnxruntime": STANDINS / "onnxruntime",
    "tensorrt": STANDINS / "tensorrt",
}


class Refusal(ValueError):
    """A request that is answered with an error; `by_model` tells the model's own words from the server's."""

    def __init__(self, message: str, *, by_model: bool = False) -> None:
        super().__init__(message)
        self.by_model = by_model


class LoadedModel:
    """A constructed TritonPythonModel and what it is asked with; its config as it completed it."""

    def __init__(self, model: Any, module: Any, config: ModelConfig) -> None:
        self.model = model
        self.module = module
        self.config = config

    def answer(self, inputs: Tensors, parameters: str, names: set[str]) -> Tensors:
        """The named outputs for one request, strings as bytes. Raises Refused, and whatever the model raises."""
        tensors = [Tensor(name, array) for name, array in inputs.items()]
        request = self.module.InferenceRequest(inputs=tensors, requested_output_names=names, model_name="")
        request.take_parameters(parameters)
        response = self.model.execute([request])[0]
        if response.has_error():
            raise Refusal(response.error().message(), by_model=True)
        outputs = {tensor.name(): array_as_sent(tensor.as_numpy()) for tensor in response.output_tensors()}
        return {name: array for name, array in outputs.items() if name in names}

    def close(self) -> None:
        """Let the model clean up."""
        if hasattr(self.model, "finalize"):
            self.model.finalize()


def reshaped(config: ModelConfig, arrays: Tensors, *, back: bool = False) -> Tensors:
    """Inputs as a model takes them whose config reshapes some; `back`: outputs as clients get them."""
    batching, made = config.max_batch_size > 0, dict(arrays)
    for tensor in config.output if back else config.input:
        if tensor.HasField("reshape") and tensor.name in arrays:
            ways = list(tensor.dims), list(tensor.reshape.shape)
            before, after = reversed(ways) if back else ways
            array = arrays[tensor.name]
            sizes = iter([size for size, dim in zip(array.shape[batching:], before, strict=False) if dim == -1])
            shape = [next(sizes, -1) if dim == -1 else dim for dim in after]
            made[tensor.name] = array.reshape([*array.shape[:batching], *shape])
    return made


def model_config(folder: Path) -> ModelConfig:
    """The configuration of a model folder as Triton's core completes it. Raises UserError where the core refuses it."""
    file = folder / CONFIG
    config = config_from_file(file)
    complete_backend(config, folder, _folders_of(folder))
    for problem in problems(config):
        if problem.effect == "refused":
            raise UserError(f"Triton does not load the model {folder.name}: {problem.says}; {problem.mend}")
    return config


def _folders_of(folder: Path) -> list[str]:
    """The folders in a model's."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def version_folder(folder: Path, config: ModelConfig, version: int) -> Path:
    """The folder of a version; -1 is the latest that the version policy serves. Raises UserError."""
    served = versions_of(config, _folders_of(folder))
    if not served or (version > 0 and version not in served):
        raise UserError(f"{folder} has no version {version if version > 0 else 'folder'}")
    return folder / str(version if version > 0 else served[-1])


def load_model(config: ModelConfig, folder: Path, module: ModuleType) -> LoadedModel:
    """Execute the model's file and initialize the model, as Triton's stub does. Raises UserError."""
    module.get_model_dir = lambda: str(folder)  # type: ignore[attr-defined]
    file = _model_file(config, folder)
    settings = values_from_config(config)
    for beside in folder.rglob("*"):
        refuse_special(beside)
    check_tokenizer_of(folder)
    with _siblings(file.parent):
        kind = _module_of_model(f"tbgen_run_{config.name}", file).TritonPythonModel
        if hasattr(kind, "auto_complete_config") and not (config.input and config.output):
            settings = kind.auto_complete_config(utils.ModelConfig(settings)).as_dict()
        model = kind()
        if hasattr(model, "initialize"):
            model.initialize(_arguments(config, settings, folder))
    return LoadedModel(model, module, json_format.ParseDict(settings, ModelConfig()))


def _model_file(config: ModelConfig, folder: Path) -> Path:
    """The Python file that serves a model: its own, or the stand-in for its backend. Raises UserError."""
    if config.backend == "python":
        file = folder / (config.default_model_filename or "model.py")
    else:
        file = _FOLDERS.get(config.backend, folder) / "model.py"
    if not file.is_file() or config.backend not in ("python", *_FOLDERS):
        raise UserError(
            f"model {config.name!r} cannot be run without Triton: "
            + (f"no file {file}" if config.backend == "python" else f"its backend is {config.backend!r}")
        )
    return file


def _module_of_model(name: str, file: Path) -> ModuleType:
    """A model's Python file; a stand-in finds the generator's rulebooks, as if they were laid beside it."""
    if STANDINS not in file.parents:
        return module_from_file(name, file)
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(GENERATOR)])
    assert spec and spec.loader
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _arguments(config: ModelConfig, settings: dict[str, Any], folder: Path) -> dict[str, str]:
    """What Triton hands to `initialize`; of a model that is served on GPUs the first one, -1 where none is here."""
    served = {group.kind for group in config.instance_group} == {ModelInstanceGroup.KIND_GPU}
    on_gpu = served and cuda_here()
    return {
        "model_config": json.dumps(settings, ensure_ascii=False),
        "model_instance_kind": "GPU" if on_gpu else "CPU",
        "model_instance_name": f"{config.name}_0_0",
        "model_instance_device_id": "-1" if served and not on_gpu else "0",
        "model_repository": str(folder.parent),
        "model_version": folder.name,
        "model_name": config.name,
    }


@contextmanager
def _siblings(folder: Path) -> Iterator[None]:
    """Let a model import the files beside it; forget them afterwards: another model's may have the same names."""
    names = {file.stem for file in folder.glob("*.py")}
    clashing = (sys.modules.keys() & names) - sys.stdlib_module_names
    before = {name: sys.modules.pop(name) for name in clashing}
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        ours = [name for name in names if getattr(sys.modules.get(name), "__file__", "") == str(folder / f"{name}.py")]
        for name in ours:
            del sys.modules[name]
        sys.modules.update(before)


def check_request(config: ModelConfig, inputs: Tensors) -> None:
    """Hold a request against the configuration, in the server's words. Raises Refused."""
    known = {tensor.name: tensor for tensor in config.input}
    for name in inputs:
        if name not in known:
            raise Refusal(f"unexpected inference input '{name}' for model '{config.name}'")
    if missing := requests.missing_inputs(config, inputs):
        raise Refusal(requests.too_few_inputs(config, inputs, missing))
    for name, array in inputs.items():
        _check_tensor(config, known[name], array)


def _check_tensor(config: ModelConfig, tensor: Any, array: np.ndarray) -> None:
    """Hold an array against its type, dims and batch size. Raises Refused."""
    given, wanted, batching = data_type_of(array), DataType.Name(tensor.data_type), config.max_batch_size > 0
    if given != wanted:
        raise Refusal(requests.other_type(config.name, tensor.name, given, wanted))
    if batching and array.ndim and array.shape[0] > config.max_batch_size:
        raise Refusal(requests.too_many_rows(config.name, config.max_batch_size))
    dims = [-1] * batching + list(tensor.dims)
    if not takes(dims, array.shape):
        raise Refusal(f"{requests.other_shape(config.name, tensor.name, dims, array.shape)}. ")
