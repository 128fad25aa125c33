"""One face for Triton's two protocols: gRPC and HTTP, plain values in and out, failures as UserError."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tbgen.export.errors import UserError
from tbgen.export.reading import reason_of
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.graphs import EACH_GRAPH
from tbgen.generator.role import FRONT, Role, front_names
from tbgen.server.client.address import Address, address_from_url, is_local, no_answer, other_protocol
from tbgen.server.client.replies import JsonObject, told, told_config, told_models, told_tensors
from tbgen.server.embedded.keys import headers_of

UNREACHABLE = ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED")
# Said by a server that is there, with the status of one that is not: its model is not ready, or has too much to do.
OVERLOAD, LATE = ("ask again later", "Exceeds maximum queue size"), "Request timeout expired"
_OF_A_MODEL = ("model", *OVERLOAD, LATE)
_RESTRICTED = " is restricted, expecting header"  # both protocols' words
OF_PROXY = "not asked here"  # begins what `tbgen deploy haproxy`'s says of a question that is one server's
_UNLIMITED_MESSAGES = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class ProxyError(UserError):
    """Servers stand behind the address, and this is asked of one of them."""


class Connection:
    """A client of one Triton server, as a context manager; not to be shared among threads.

    Args:
        url: see address_from_url.
        seconds: how long to wait for one answer.
        headers: what each request carries; without them a server of tbgen's on this machine gets its key.
    """

    def __init__(
        self, url: str | Address | None = None, *, seconds: float = 60.0, headers: Mapping[str, str] | None = None
    ) -> None:
        self.address = url if isinstance(url, Address) else address_from_url(url, headers=headers)
        self.protocol = self.address.protocol
        self.headers = dict(self.address.headers) or headers_of(self.address.place, self.protocol)
        self.seconds = seconds
        self.module = importlib.import_module(f"tritonclient.{self.protocol}")
        self.client = self.open_client()

    def open_client(self) -> Any:
        place, ssl = self.address.place, self.address.tls
        if self.protocol == "http":
            return self.module.InferenceServerClient(
                place, ssl=ssl, connection_timeout=self.seconds, network_timeout=self.seconds
            )
        return self.module.InferenceServerClient(place, ssl=ssl, channel_args=channel_options(place))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def ready(self, model: str) -> bool:
        """Whether the server knows the model and can serve it. Raises UserError."""
        with self.failures("is not reachable"):
            return bool(self.client.is_model_ready(model, **self.options()))

    def states(self) -> dict[str, str]:
        """All models that the server knows: name -> "READY", or its state and the reason. Raises UserError."""
        states: dict[str, str] = {}
        for row in self.index():
            state = row["state"] or "not loaded"
            if states.get(row["name"]) != "READY":
                states[row["name"]] = state if state == "READY" else f"{state} {row['reason']}".strip()
        return states

    def index(self) -> list[JsonObject]:
        """All versions of models that the server knows: name, version, state, reason. Raises UserError."""
        with self.failures("tells nothing of its models"):
            return told_models(self.client.get_model_repository_index(**self.as_json()))

    def metadata(self) -> JsonObject:
        """What the server says of itself: name, version, extensions. Raises UserError."""
        from tritonclient.grpc.service_pb2 import ServerMetadataResponse

        with self.failures("tells nothing of itself"):
            return told(self.client.get_server_metadata(**self.as_json()), ServerMetadataResponse)

    def statistics(self) -> list[JsonObject]:
        """What it has counted, a row for each version of a model. Raises UserError."""
        from tritonclient.grpc.service_pb2 import ModelStatisticsResponse

        with self.failures("gives no statistics"):
            found = told(self.client.get_inference_statistics(**self.as_json()), ModelStatisticsResponse)
        rows: list[JsonObject] = found["model_stats"]
        return rows

    def refuse_proxy(self) -> None:
        """Raise ProxyError where the answers come from several servers, each of which tells of itself alone."""
        try:
            self.index()
        except ProxyError:
            raise
        except UserError:  # it may keep its models to itself
            return

    @staticmethod
    def fronts(name: str) -> list[str]:
        """Names that front models of a name can have: a server does not tell what its models are for."""
        return [Role(name, FRONT, engine, graph).model for engine in ENGINES for graph in EACH_GRAPH]

    def asked(self) -> list[str]:
        """The models that are ready and asked by clients; all that are ready where no client seems to ask one."""
        configs = {model: self.config(model) for model, state in self.states().items() if state == "READY"}
        return front_names(configs) or [*configs]

    def config(self, model: str) -> JsonObject:
        """The model's configuration; whole numbers may be strings. Raises UserError."""
        with self.failures(f"tells nothing of {model!r}"):
            return told_config(self.client.get_model_config(model, **self.as_json()), model)

    def infer(
        self, model: str, inputs: Mapping[str, np.ndarray], parameters: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """One request: arrays of UTF-8 bytes (dtype object) or numbers in, all outputs back. Raises UserError."""
        tensors = [self.tensor(*item) for item in inputs.items()]
        with self.failures(f"refused the request to {model!r}"):
            result = self.client.infer(model, tensors, parameters=parameters, **self.options())
            response = result.get_response(**({"as_json": True} if self.protocol == "grpc" else {}))
            return told_tensors(
                {output["name"]: result.as_numpy(output["name"]) for output in response.get("outputs", [])}
            )

    def tensor(self, name: str, array: np.ndarray) -> Any:
        from tritonclient.utils import np_to_triton_dtype

        tensor = self.module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        return tensor

    def options(self) -> JsonObject:
        """What each call takes: the headers, and over gRPC the time limit; the HTTP client has its limit already."""
        return {"headers": self.headers, **({"client_timeout": self.seconds} if self.protocol == "grpc" else {})}

    def as_json(self) -> JsonObject:
        """The options, and what makes the gRPC client answer with plain values; the HTTP client always does."""
        return self.options() | ({"as_json": True} if self.protocol == "grpc" else {})

    @contextmanager
    def failures(self, what: str) -> Iterator[None]:
        """Turn what the clients raise into one sentence: nobody there, the server's own words, or no Triton's."""
        from tritonclient.utils import InferenceServerException

        try:
            yield
        except UserError:
            raise
        except OSError as error:
            raise UserError(no_answer(self.address, str(error))) from error
        except InferenceServerException as error:
            message = str(error.message()).strip()
            if message.startswith(OF_PROXY):
                raise ProxyError(
                    f"the proxy at {self.address} {what} ({message}): ask a server behind it, which --url names"
                ) from error
            if _RESTRICTED in message:
                raise UserError(
                    f"Triton at {self.address} {what}: {message}; send it with --header NAME=VALUE"
                ) from error
            if error.status() in UNREACHABLE and not is_of_a_model(message):
                raise UserError(no_answer(self.address, message)) from error
            raise UserError(f"Triton at {self.address} {what}: {message}") from error
        except Exception as error:  # the clients read whatever is sent, and raise what comes of that
            other = f"what answers at {self.address} is no Triton: {reason_of(error)}"
            raise UserError(other_protocol(self.address) or other) from error


def channel_options(place: str) -> list[tuple[str, int]]:
    """Of gRPC's channel to HOST:PORT: it would send even local calls to the proxy that http_proxy names."""
    return [*_UNLIMITED_MESSAGES, ("grpc.enable_http_proxy", int(not is_local(place)))]


def is_of_a_model(message: str) -> bool:
    """Whether a server that is there said it, of a model that is not ready or has too much to do."""
    return any(words in message for words in _OF_A_MODEL)
