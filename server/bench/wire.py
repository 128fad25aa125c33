"""Triton's requests and answers as bytes: requests are built before the clock runs, answers are read without a client.

HTTP requests are whole HTTP/1.1 messages with binary tensors, gRPC requests serialized ModelInferRequest messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tbgen.export.run import Tensors


def http_request(
    model: str,
    inputs: Mapping[str, np.ndarray],
    host: str,
    outputs: Sequence[str] = (),
    *,
    binary: bool = True,
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A POST of tensors (texts are arrays of bytes) that asks for the named outputs, all without names.

    binary: the answer has them so; in JSON otherwise. headers: those that the server wants beside the usual ones.
    """
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import np_to_triton_dtype

    tensors = [InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)) for name, array in inputs.items()]
    for tensor, array in zip(tensors, inputs.values(), strict=True):
        tensor.set_data_from_numpy(array)
    wanted = [InferRequestedOutput(name, binary_data=binary) for name in outputs]
    body, head_size = InferenceServerClient.generate_request_body(tensors, outputs=wanted)
    lines = [
        f"POST /v2/models/{model}/infer HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/octet-stream",
        f"Inference-Header-Content-Length: {head_size}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def grpc_request(model: str, inputs: Mapping[str, np.ndarray], host: str) -> bytes:  # noqa: ARG001 - as http_request
    """A serialized ModelInferRequest of text tensors (arrays of bytes)."""
    from tritonclient.grpc.service_pb2 import ModelInferRequest

    request = ModelInferRequest(model_name=model)
    for name, array in inputs.items():
        request.inputs.add(name=name, datatype="BYTES", shape=array.shape)
        request.raw_input_contents.append(frame_texts(array))
    message: bytes = request.SerializeToString()
    return message


def frame_texts(array: np.ndarray) -> bytes:
    """The texts of an array one after the other, each behind its length in 4 bytes, little-endian."""
    return b"".join(len(text).to_bytes(4, "little") + text for text in array.ravel())


def tensors_from_http(body: bytes, head_size: int) -> Tensors:
    """The outputs of a binary HTTP answer: a JSON head of `head_size` bytes, then the tensors. Raises ValueError."""
    position, tensors = head_size, {}
    for output in json.loads(body[:head_size])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        raw = body[position : position + size]
        tensors[output["name"]] = _tensor_from_bytes(raw, output["datatype"], output["shape"])
        position += size
    return tensors


def tensors_from_grpc(body: bytes, head_size: int = 0) -> Tensors:  # noqa: ARG001 - as tensors_from_http
    """The outputs of a serialized ModelInferResponse. Raises ValueError, DecodeError."""
    from tritonclient.grpc.service_pb2 import ModelInferResponse

    response = ModelInferResponse.FromString(body)
    return {
        output.name: _tensor_from_bytes(raw, output.datatype, output.shape)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


ANSWER_READERS = {"http": tensors_from_http, "grpc": tensors_from_grpc}


def _tensor_from_bytes(raw: bytes, data_type: str, shape: Iterable[int]) -> np.ndarray:
    from tritonclient.utils import deserialize_bytes_tensor, triton_to_np_dtype

    if data_type == "BYTES":
        return np.asarray(deserialize_bytes_tensor(raw)).reshape(tuple(shape))
    return np.frombuffer(raw, dtype=triton_to_np_dtype(data_type)).reshape(tuple(shape))


def error_from_http(status: int, body: bytes) -> str:
    try:
        said: Any = json.loads(body)
        return f"HTTP {status}: {said['error']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}: {body[:200].decode('utf-8', errors='replace')}"
