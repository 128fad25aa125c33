"""What a server tells, of the types that Triton's messages have: whoever answers at an address may be no Triton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

JsonObject = dict[str, Any]


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

    rows: list[JsonObject] = told({"models": reply} if isinstance(reply, list) else reply, RepositoryIndexResponse)[
        "models"
    ]
    for row in rows:
        if not row["name"] or not (row["version"] or "0").isdecimal():
            raise ValueError(f"it lists a model {row['name']!r} of version {row['version']!r}")
    return rows


def told_config(reply: Any, model: str) -> JsonObject:
    """A model's configuration. Raises ValueError for one of another model, or of tensors that nothing is known of."""
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = told(reply.get("config", reply) if isinstance(reply, dict) else reply, ModelConfig)
    if config["name"] != model:
        raise ValueError(f"asked for {model!r}, it tells of {config['name']!r}")
    for tensor in (*config["input"], *config["output"]):
        if not tensor["name"] or tensor["data_type"] == "TYPE_INVALID" or not tensor["dims"]:
            what = f"{tensor['name']!r}, {tensor['data_type']} of dims {tensor['dims']}"
            raise ValueError(f"{model!r} has a tensor {what}")
    return config


def told_tensors(tensors: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray]:
    """The outputs in an answer. Raises ValueError for one without data, or with texts that are no bytes."""
    for name, array in tensors.items():
        if array is None or (array.dtype == object and not all(isinstance(text, bytes) for text in array.ravel())):
            raise ValueError(f"the output {name!r} holds no tensor")
    return dict(tensors)  # type: ignore[arg-type]
