"""What a server tells, of the types that Triton's messages have: whoever answers at an address may be no Triton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from tbgen.generator.data_types import data_type_of
from tbgen.generator.models.config import TensorSpecs

JsonObject = dict[str, Any]

_MOST_INSTANCES = 10_000


def told(reply: Any, kind: type[Message]) -> JsonObject:
    """A message of Triton's as JSON has it, with all its plain fields and lists; 64-bit numbers are strings.

    reply: what either protocol's client gives, as JSON. Raises ValueError for what is no such message.
    """
    try:
        message = ParseDict(reply, kind(), ignore_unknown_fields=True)
    except (ParseError, TypeError, AttributeError) as error:  # the last two for what is no object
        raise ValueError(f"{kind.__name__}: {error}") from error
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def told_models(reply: Any) -> list[JsonObject]:
    """All versions of models in an index: name, version, state, reason, as texts. Raises ValueError."""
    from tritonclient.grpc.service_pb2 import RepositoryIndexResponse

    index = {"models": reply} if isinstance(reply, list) else reply  # over HTTP it is the list alone
    rows: list[JsonObject] = told(index, RepositoryIndexResponse)["models"]
    for row in rows:
        if not row["name"] or not (row["version"] or "0").isdecimal():
            raise ValueError(f"it lists a model {row['name']!r} of version {row['version']!r}")
    return rows


def told_config(reply: Any, model: str) -> JsonObject:
    """A model's configuration. Raises ValueError for one of another model, or of tensors that nothing is known of."""
    from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

    config = told(reply.get("config", reply) if isinstance(reply, dict) else reply, ModelConfig)
    if config["name"] != model:
        raise ValueError(f"asked for {model!r}, it tells of {config['name']!r}")
    data_types = {*DataType.keys()} - {"TYPE_INVALID"}
    for tensor in (*config["input"], *config["output"]):
        if not tensor["name"] or tensor["data_type"] not in data_types or not tensor["dims"]:
            what = f"{tensor['name']!r}, {tensor['data_type']} of dims {tensor['dims']}"
            raise ValueError(f"{model!r} has a tensor {what}")
    if any(not 0 <= group["count"] <= _MOST_INSTANCES for group in config["instance_group"]):
        raise ValueError(f"{model!r} has more instances than a server, or fewer than none")
    return config


def told_tensors(tensors: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray]:
    """The outputs in an answer. Raises ValueError for one without data, or with texts that are no bytes."""
    for name, array in tensors.items():
        if array is None or (array.dtype == object and not all(isinstance(text, bytes) for text in array.ravel())):
            raise ValueError(f"the output {name!r} holds no tensor")
    return dict(tensors)  # type: ignore[arg-type]


def unfit(tensors: Mapping[str, np.ndarray], outputs: TensorSpecs, rows: Sequence[int]) -> str:
    """The first of some outputs that an answer lacks, or has of another type or shape, in words; empty where none is.

    outputs: name -> (data type, dims), of which -1 is any size. rows: the batch axis, none where there is no such.
    """
    for name, (data_type, dims) in outputs.items():
        array, sizes = tensors.get(name), [*rows, *dims]
        if array is None or data_type_of(array) != data_type or not _fits(array.shape, sizes):
            return f"{name!r} of {data_type}, {sizes}"
    return ""


def _fits(shape: Sequence[int], sizes: Sequence[int]) -> bool:
    return len(shape) == len(sizes) and all(size in (-1, there) for size, there in zip(sizes, shape, strict=True))
