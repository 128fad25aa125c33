"""What Triton fills into a config before it judges it: backend, platform, file name; an ONNX model's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from tbgen.generator.check.onnx_file import OnnxFile, Tensor

DEFAULT_BATCH = 4


@dataclass(frozen=True)
class Backend:
    """One backend that Triton's core knows by name: its platform in configs (some have none) and its file."""

    name: str
    platform: str
    file: str


# In the order in which Triton tries them.
BACKENDS = (
    Backend("tensorflow", "tensorflow_savedmodel", "model.savedmodel"),
    Backend("tensorflow", "tensorflow_graphdef", "model.graphdef"),
    Backend("tensorrt", "tensorrt_plan", "model.plan"),
    Backend("onnxruntime", "onnxruntime_onnx", "model.onnx"),
    Backend("openvino", "", "model.xml"),
    Backend("pytorch", "pytorch_libtorch", "model.pt"),
    Backend("python", "", "model.py"),
)


def complete_backend(config: ModelConfig, folder: Path, folders: Sequence[str]) -> None:
    """Fill in name, backend, platform and file name, as far as one of them or the files of the first folder tell."""
    config.name = config.name or folder.name
    names = {entry.name for entry in (folder / folders[0]).iterdir()} if folders else set()
    for row in BACKENDS:
        if not config.backend and is_of(config, row, names):
            config.backend = row.name
        if config.backend == row.name:
            config.platform = config.platform or row.platform
            config.default_model_filename = config.default_model_filename or row.file
            return
    if not (config.backend or config.platform or config.default_model_filename) and "." in folder.name:
        config.backend = folder.name.partition(".")[2]
        config.default_model_filename = f"model.{config.backend}"


def is_of(config: ModelConfig, row: Backend, names: set[str]) -> bool:
    """Whether a config without a backend is of this one: by platform, file name, or the files that are there."""
    if (row.platform and config.platform == row.platform) or config.default_model_filename == row.file:
        return True
    return not config.platform and not config.default_model_filename and row.file in names


def complete_from_onnx(config: ModelConfig, graph: OnnxFile) -> ModelConfig:
    """The config with the graph's tensors where it lacks inputs or outputs; the same config when it lacks none."""
    if (config.input or config.batch_input) and config.output:
        return config
    completed = ModelConfig()
    completed.CopyFrom(config)
    if can_batch(graph):
        completed.max_batch_size = completed.max_batch_size or DEFAULT_BATCH
    batching = completed.max_batch_size > 0
    for there, tensors, add in (
        (completed.input, graph.required, completed.input.add),
        (completed.output, graph.outputs, completed.output.add),
    ):
        for name, tensor in tensors.items() if not there else ():
            add(name=name, data_type=DataType.Value(tensor.data_type), dims=dims_of(tensor, batching))
    return completed


def can_batch(graph: OnnxFile) -> bool:
    """Whether all inputs and outputs begin with an open axis."""
    return all(tensor.shape and tensor.shape[0] == -1 for tensor in (*graph.required.values(), *graph.outputs.values()))


def dims_of(tensor: Tensor, batching: bool) -> list[int]:
    """A tensor's dims as a config says them: without the batch axis, [1] for a scalar."""
    return list(tensor.shape[1:] if batching else tensor.shape) or [1]
