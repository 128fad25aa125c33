"""One model that runs in this process: its Python file, or the embedded server's stand-in for its backend."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from google.protobuf import text_format

import tbgen.backends
from tbgen.backends.chain import module_from_file
from tbgen.export.errors import UserError
from tbgen.generator.data_types import data_type_of, protocol_name
from tbgen.generator.local import backend_utils as utils
from tbgen.generator.models.config import SHARED_BACKEND, ModelConfig, config_from_text

STANDINS = Path(__file__).parents[1] / "standins"  # for NVIDIA's C++ backends
FOLDERS = {  # of the backends' files
    SHARED_BACKEND: Path(next(iter(tbgen.backends.__path__))),
    "onnxruntime": STANDINS / "onnxruntime",
    "tensorrt": STANDINS / "tensorrt",
}
BACKENDS = {"onnxruntime_onnx": "onnxruntime", "tensorrt_plan": "tensorrt"}  # by platform

Tensors = dict[str, np.ndarray]


class Refused(ValueError):
    """A request that is answered with an error; `by_model` tells the model's own words from the server's."""

    def __init__(self, message: str, *, by_model: bool = False) -> None:
        super().__init__(message)
        self.by_model = by_model


class LoadedModel:
    """A constructed TritonPythonModel and what it is asked with."""

    def __init__(self, model: Any, module: Any) -> None:
        self.model = model
        self.module = module

    def answer(self, inputs: Tensors, parameters: str, names: set[str]) -> Tensors:
        """The named outputs for one request, strings as bytes. Raises Refused, and whatever the model raises."""
        tensors = [utils.Tensor(name, array) for name, array in inputs.items()]
        request = self.module.InferenceRequest(inputs=tensors, requested_output_names=names, model_name="")
        request.take_parameters(parameters)
        response = self.model.execute([request])[0]
        if response.has_error():
            raise Refused(response.error().message(), by_model=True)
        outputs = {tensor.name(): utils.sent(tensor.as_numpy()) for tensor in response.output_tensors()}
        return {name: array for name, array in outputs.items() if name in names}

    def close(self) -> None:
        """Let the model clean up."""
        if hasattr(self.model, "finalize"):
            self.model.finalize()


def model_config(folder: Path) -> ModelConfig:
    """The configuration of a model folder with the name and the backend that Triton fills in. Raises UserError."""
    file = folder / "config.pbtxt"
    try:
        config = config_from_text(file.read_text(encoding="utf-8"))
    except text_format.ParseError as error:
        raise UserError(f"{file} is no configuration of a model: {error}") from error
    config.name = config.name or folder.name
    config.backend = config.backend or BACKENDS.get(config.platform, "")
    return config


def version_folder(folder: Path, config: ModelConfig, version: int) -> Path:
    """The folder of a version; -1 is the latest that the version policy serves. Raises UserError."""
    there = sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal())
    served = [number for number in there if number in config.version_policy.specific.versions] or there
    if not served or (version > 0 and version not in served):
        raise UserError(f"{folder} has no version {version if version > 0 else 'folder'}")
    return folder / str(version if version > 0 else served[-1])


def load_model(config: ModelConfig, folder: Path, module: ModuleType) -> LoadedModel:
    """Execute the model's file and initialize the model, as Triton's stub does. Raises UserError."""
    module.get_model_dir = lambda: str(folder)  # type: ignore[attr-defined]
    file = model_file(config, folder)
    settings = plain(config)
    with siblings(file.parent):
        kind = module_from_file(f"tbgen_run_{config.name}", file).TritonPythonModel
        if hasattr(kind, "auto_complete_config") and not (config.input and config.output):
            settings = kind.auto_complete_config(utils.ModelConfig(settings)).as_dict()
        model = kind()
        if hasattr(model, "initialize"):
            model.initialize(arguments(config, settings, folder))
    return LoadedModel(model, module)


def model_file(config: ModelConfig, folder: Path) -> Path:
    """The Python file that serves a model: its own, or the stand-in for its backend. Raises UserError."""
    if config.backend == "python":
        file = folder / (config.default_model_filename or "model.py")
    else:
        file = FOLDERS.get(config.backend, folder) / "model.py"
    if not file.is_file() or config.backend not in ("python", *FOLDERS):
        raise UserError(
            f"model {config.name!r} cannot be run without Triton: "
            + (f"no file {file}" if config.backend == "python" else f"its backend is {config.backend!r}")
        )
    return file


def arguments(config: ModelConfig, settings: dict[str, Any], folder: Path) -> dict[str, str]:
    """What Triton hands to `initialize`."""
    return {
        "model_config": json.dumps(settings, ensure_ascii=False),
        "model_instance_kind": "CPU",
        "model_instance_name": f"{config.name}_0_0",
        "model_instance_device_id": "0",
        "model_repository": str(folder.parent),
        "model_version": folder.name,
        "model_name": config.name,
    }


@contextmanager
def siblings(folder: Path) -> Iterator[None]:
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


def plain(message: Any) -> dict[str, Any]:
    """A message as Triton's JSON has it: all plain fields, numbers as numbers, messages where they are set."""
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            values[field.name] = {
                key: plain(each) if hasattr(each, "DESCRIPTOR") else each for key, each in value.items()
            }
        elif isinstance(value, (bool, int, float, str, bytes)):
            if field.containing_oneof is None or message.HasField(field.name):
                values[field.name] = named(field, value)
        elif hasattr(value, "DESCRIPTOR"):
            if message.HasField(field.name):
                values[field.name] = plain(value)
        else:
            values[field.name] = [plain(each) if hasattr(each, "DESCRIPTOR") else named(field, each) for each in value]
    return values


def named(field: Any, value: Any) -> Any:
    """A plain value; an enum's by its name."""
    return field.enum_type.values_by_number[value].name if field.enum_type else value


def check_request(config: ModelConfig, inputs: Tensors) -> None:
    """Hold a request against the configuration, in the server's words. Raises Refused."""
    known = {tensor.name: tensor for tensor in config.input}
    for name in inputs:
        if name not in known:
            raise Refused(f"unexpected inference input '{name}' for model '{config.name}'")
    needed = [tensor.name for tensor in config.input if not tensor.optional]
    if missing := sorted(set(needed) - inputs.keys()):
        raise Refused(
            f"expected {len(needed)} inputs but got {len(inputs)} inputs for model '{config.name}'. "
            f"Got input(s) {sorted(inputs)}, but missing required input(s) {missing}. "
            "Please provide all required input(s)."
        )
    for name, array in inputs.items():
        check_tensor(config, known[name], array)


def check_tensor(config: ModelConfig, tensor: Any, array: np.ndarray) -> None:
    """Hold an array against its type, dims and batch size. Raises Refused."""
    kind = data_type_of(array)
    wanted = ModelConfig.DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number[tensor.data_type].name
    if kind != wanted:
        given, expected = map(protocol_name, (kind, wanted))
        raise Refused(
            f"inference input '{tensor.name}' data-type is '{given}', but model '{config.name}' expects '{expected}'"
        )
    batching = config.max_batch_size > 0
    if batching and array.ndim and array.shape[0] > config.max_batch_size:
        raise Refused(f"inference request batch-size must be <= {config.max_batch_size} for '{config.name}'")
    dims = [-1, *tensor.dims] if batching else list(tensor.dims)
    fits = len(dims) == array.ndim and all(dim in (-1, size) for dim, size in zip(dims, array.shape, strict=True))
    if not fits:
        shown = [f"[{','.join(map(str, shape))}]" for shape in (dims, array.shape)]
        raise Refused(
            f"unexpected shape for input '{tensor.name}' for model '{config.name}'. "
            f"Expected {shown[0]}, got {shown[1]}. "
        )
