"""The server behind the gateway, asked over gRPC without a thread for each request."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tritonclient.grpc.aio as grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tbgen.export.errors import UserError
from tbgen.export.reading import reason_of
from tbgen.export.run import Tensors
from tbgen.server.client.address import Address, nobody
from tbgen.server.client.client import plain_values
from tbgen.server.client.connection import LATE, OVERLOAD, channel_options, is_of_a_model
from tbgen.server.client.replies import JsonObject, told_config, told_models, told_tensors
from tbgen.server.embedded.keys import headers_of
from tbgen.server.gateway.body import off_loop
from tbgen.server.gateway.no_answer import NoAnswer

# gRPC's status of an answer -> HTTP's; what a model has too much to do for is 429, whatever its status.
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 413,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "CANCELLED": 499,
}
_NO_TRITON = "what answers behind the gateway is no Triton"
_RECONNECT = 1000  # milliseconds at most until a server that was away is tried again


class Triton:
    """A Triton server. Made inside the event loop that asks it; `close` ends its channel.

    Args:
        address: of its gRPC port.
        seconds: how long to wait for one answer.
    """

    def __init__(self, address: Address, seconds: float) -> None:
        self.address, self.seconds = address, seconds
        self.headers = dict(address.headers) or headers_of(address.place, "grpc")
        options = [*channel_options(address.place), ("grpc.max_reconnect_backoff_ms", _RECONNECT)]
        self.client = grpc.InferenceServerClient(address.place, ssl=address.tls, channel_args=options)

    async def close(self) -> None:
        await self.client.close()

    async def index(self) -> list[JsonObject]:
        """All versions of models that the server knows. Raises NoAnswer."""
        with self._failures():
            return told_models(await self.client.get_model_repository_index(**self._options()))

    async def config(self, model: str) -> JsonObject:
        """The model's configuration; whole numbers may be strings. Raises NoAnswer."""
        with self._failures():
            return told_config(await self.client.get_model_config(model, **self._options()), model)

    async def ready(self) -> bool:
        """Whether the server is there, and its models are loaded."""
        try:
            with self._failures():
                return bool(await self.client.is_server_ready(headers=self.headers, client_timeout=self.seconds))
        except NoAnswer:
            return False

    async def infer(
        self, model: str, tensors: Mapping[str, np.ndarray], parameters: Mapping[str, Any], outputs: Sequence[str]
    ) -> Tensors:
        """One request, of UTF-8 bytes (dtype object) or numbers; the outputs that are asked for, text as str.

        Raises NoAnswer. Cancelled, it cancels the server's work.
        """
        inputs = [_input_of(name, array) for name, array in tensors.items()]
        asked = [grpc.InferRequestedOutput(name) for name in outputs]
        _check_parameters(parameters)
        with self._failures():
            result = await self.client.infer(
                model,
                inputs,
                outputs=asked,
                parameters=dict(parameters) or None,
                headers=self.headers,
                client_timeout=self.seconds,
            )
        try:
            values = sum(math.prod(output.shape) for output in result.get_response().outputs)
            return await off_loop(values, _tensors_from_result, result)
        except UserError as error:
            raise NoAnswer(500, f"{model}: {error.message}") from error
        except Exception as error:
            raise NoAnswer(502, f"{model}: {_NO_TRITON}: {reason_of(error)}") from error

    def _options(self) -> JsonObject:
        return {"headers": self.headers, "client_timeout": self.seconds, "as_json": True}

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what the client raises into a status and the server's own words."""
        try:
            yield
        except InferenceServerException as error:
            message = error.message().strip()
            if any(words in message for words in OVERLOAD):
                raise NoAnswer(429, message) from error
            if LATE in message:
                raise NoAnswer(504, message) from error
            code = str(error.status()).removeprefix("StatusCode.")
            if code == "DEADLINE_EXCEEDED":
                raise NoAnswer(504, f"Triton has not answered in {self.seconds:g} s") from error
            if code == "UNAVAILABLE" and not is_of_a_model(message):
                raise NoAnswer(503, nobody(str(self.address), message)) from error
            status = 400 if error.status() is None else _STATUSES.get(code, 500)  # said by the client itself: 400
            raise NoAnswer(status, message) from error
        except Exception as error:  # the client reads whatever is sent, and raises what comes of that
            raise NoAnswer(502, f"{_NO_TRITON}: {reason_of(error)}") from error


def _tensors_from_result(result: Any) -> Tensors:
    """The outputs, text as str. Raises UserError for NaN and infinity, of which JSON would make null."""
    outputs = result.get_response().outputs
    found = told_tensors({output.name: result.as_numpy(output.name) for output in outputs})
    return {name: plain_values(name, array) for name, array in found.items()}


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise NoAnswer for values that no request can carry."""
    for name, value in parameters.items():
        if not isinstance(value, (str, bool, int, float)) or (isinstance(value, int) and abs(value) >= 2**63):
            raise NoAnswer(400, f"parameter {name} takes a text, a number, true or false")


def _input_of(name: str, array: np.ndarray) -> Any:
    tensor = grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor
