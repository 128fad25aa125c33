"""What Triton fills into a config before it judges it: backend, platform, file name; an ONNX model's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.generator.check.onnx_file import OnnxFile
from tbgen.generator.standins.onnxruntime.onnx_configuration import (
    Specs,
    complete_batching,
    complete_tensors,
    lacks_tensors,
)


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
    """The config as the onnxruntime backend completes it from the graph; the same config when it lacks nothing."""
    values = values_of(config)
    if not lacks_tensors(values):
        return config
    with suppress(ValueError):  # a rule says it
        complete_batching(values, *specs_of(graph))
    complete_tensors(values, *specs_of(graph))
    return json_format.ParseDict(values, ModelConfig())


def completed_batching(config: ModelConfig, graph: OnnxFile) -> int:
    """The max_batch_size of a config that lacks tensors, once it is completed. Raises ValueError, in NVIDIA's words."""
    values = values_of(config)
    complete_batching(values, *specs_of(graph))
    return int(values["max_batch_size"])


def values_of(config: ModelConfig) -> dict[str, Any]:
    """A config as the backend reads it, in plain values."""
    read = {"name": config.name, "max_batch_size": 0, "input": [], "output": []}
    return read | json_format.MessageToDict(config, preserving_proto_field_name=True)


def specs_of(graph: OnnxFile) -> tuple[Specs, Specs]:
    """The tensors that requests bring and get, as the backend reads them of the file."""
    inputs, outputs = (
        {name: (tensor.data_type, list(tensor.shape)) for name, tensor in tensors.items()}
        for tensors in (graph.required, graph.outputs)
    )
    return inputs, outputs
