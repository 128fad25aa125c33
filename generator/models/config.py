"""Triton's config.pbtxt as ModelConfig messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig as ModelConfig
from tritonclient.grpc.model_config_pb2 import ModelDynamicBatching, ModelInstanceGroup

from tbgen.export.errors import UserError
from tbgen.export.reading import text_from_file
from tbgen.generator.repository import CONFIG, model_folders
from tbgen.generator.steps.chain import chain_tensors

SHARED_BACKEND = "tbgen"  # the Python-based backend that holds the code of the steps once
CACHE_BYTES = 64 << 20
CACHE_ARGUMENT = f"--cache-config=local,size={CACHE_BYTES}"  # what tritonserver needs to keep answers
PYTHON_BACKENDS = ("python", SHARED_BACKEND)
NO_TENSORS: dict[str, Any] = {"input": [], "output": []}  # of a config as JSON, which leaves out empty lists
TensorSpecs = Mapping[str, tuple[str, list[int]]]


def specs_from_json(tensors: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, list[int]]]:
    """The inputs or outputs of a configuration as JSON: name -> (data type, dims)."""
    return {each["name"]: (each["data_type"], [int(size) for size in each["dims"]]) for each in tensors}


def python_config(
    name: str,
    inputs: TensorSpecs,
    outputs: TensorSpecs,
    *,
    max_batch_size: int,
    instances: int,
    backend: str = "python",
    gpu: bool = False,
) -> ModelConfig:
    """The config of a Python model that joins requests: dynamic batching, instances on the CPU, or on each GPU."""
    config = tensors_config(name, inputs, outputs, max_batch_size=max_batch_size)
    config.backend = backend
    config.dynamic_batching.CopyFrom(ModelDynamicBatching())
    kind = ModelInstanceGroup.KIND_GPU if gpu else ModelInstanceGroup.KIND_CPU
    config.instance_group.append(ModelInstanceGroup(count=instances, kind=kind))
    return config


def ensemble_config(name: str, parts: Mapping[str, Any], *, max_batch_size: int, cached: bool = False) -> ModelConfig:
    """The config of an ensemble that passes tensors of equal name from model to model.

    A tensor that is made anew under its name goes on under a private one, for Triton takes each name once.

    parts: model name -> what it takes and gives (an object with `inputs` and `outputs`), in order.
    """
    inputs, outputs = chain_tensors(parts.values())
    config = tensors_config(name, inputs, outputs, max_batch_size=max_batch_size)
    config.platform = "ensemble"
    if cached:
        config.response_cache.enable = True
    last_maker = {tensor: model for model, part in parts.items() for tensor in part.outputs}
    names = {tensor: tensor for tensor in inputs}
    for model, part in parts.items():
        made = {
            tensor: tensor if last_maker[tensor] == model and tensor not in inputs else f"{model}_{tensor}"
            for tensor in part.outputs
        }
        config.ensemble_scheduling.step.add(
            model_name=model,
            model_version=-1,
            input_map={tensor: names[tensor] for tensor in part.inputs},
            output_map=made,
        )
        names |= made
    return config


def tensors_config(name: str, inputs: TensorSpecs, outputs: TensorSpecs, *, max_batch_size: int) -> ModelConfig:
    """What every config begins with: the name, the batch size and the tensors."""
    config = ModelConfig(name=name, max_batch_size=max_batch_size)
    for tensor, (data_type, dims) in inputs.items():
        config.input.add(name=tensor, data_type=data_type, dims=dims)
    for tensor, (data_type, dims) in outputs.items():
        config.output.add(name=tensor, data_type=data_type, dims=dims)
    return config


def text_from_config(config: ModelConfig) -> str:
    """The text of a config.pbtxt."""
    return text_format.MessageToString(config)


def config_from_text(text: str, shown: str = "a config.pbtxt") -> ModelConfig:
    """The message of a config.pbtxt. Raises UserError."""
    try:
        return parse_config(text, ModelConfig())
    except text_format.ParseError as error:
        raise UserError(f"{shown} is no configuration of a model: {error}") from error


def parse_config(text: str, config: ModelConfig) -> ModelConfig:
    """Read a text into a message, and give it back. Raises text_format.ParseError, for an enum's number too that has no
    name.
    """
    try:
        text_format.Parse(text, config)
    except (ValueError, RecursionError) as error:  # an enum's number that has no 32 bits
        raise text_format.ParseError(str(error)) from error
    if found := next(_unnamed(config), None):
        raise text_format.ParseError(f'Enum type "{found[0].full_name}" has no value numbered {found[1]}.')
    return config


def _unnamed(message: Any) -> Iterator[tuple[Any, int]]:
    """The enums of a message and of those within it whose number has no name."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.enum_type:
            yield from ((field.enum_type, each) for each in values if each not in field.enum_type.values_by_number)
        elif field.message_type:
            of_map = field.message_type.GetOptions().map_entry
            for each in value.values() if of_map else values:
                if hasattr(each, "DESCRIPTOR"):  # a map's may be plain
                    yield from _unnamed(each)


def config_from_file(file: Path) -> ModelConfig:
    """The message in a config.pbtxt's file. Raises UserError, and OSError."""
    return config_from_text(text_from_file(file), str(file))


def configs_from_repository(repository: Path) -> dict[str, ModelConfig]:
    """The config of each model of a repository, by name, sorted. Raises UserError, and OSError."""
    return {folder.name: config_from_file(folder / CONFIG) for folder in model_folders(repository)}


def values_from_config(message: Any) -> dict[str, Any]:
    """A message as Triton's JSON has it: all plain fields, numbers as numbers, messages where they are set."""
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            values[field.name] = {
                key: values_from_config(each) if hasattr(each, "DESCRIPTOR") else each for key, each in value.items()
            }
        elif isinstance(value, (bool, int, float, str, bytes)):
            if field.containing_oneof is None or message.HasField(field.name):
                values[field.name] = _named(field, value)
        elif hasattr(value, "DESCRIPTOR"):
            if message.HasField(field.name):
                values[field.name] = values_from_config(value)
        else:
            values[field.name] = [
                values_from_config(each) if hasattr(each, "DESCRIPTOR") else _named(field, each) for each in value
            ]
    return values


def _named(field: Any, value: Any) -> Any:
    """A plain value; an enum's by its name."""
    return field.enum_type.values_by_number[value].name if field.enum_type else value
