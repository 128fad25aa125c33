"""The one Triton entry point: runs the steps that steps.json lists, once for all requests that Triton hands over.

Copied into every Python model that tbgen writes, with the files that its steps need; or once, with all of them, into a
server's Python-based backend `tbgen`: steps.json, assets and steps of one's own then lie in the model.
"""

import asyncio  # noqa: F401 - Triton's stub imports it at the first request, which would wait for it
import importlib.util
import json
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

if not __package__:  # a server's backend is imported by its bare name; then it is the package of its neighbours
    __path__ = __spec__.submodule_search_locations = [str(Path(__file__).parent)]
    __package__ = __name__

from .clients import Client, GoneError
from .meter import Meter
from .request_parameters import parameters_from_json
from .text_tensors import bytes_from_text, printable, text_from_bytes

Tensors = dict[str, np.ndarray]


class TritonPythonModel:
    """Joins requests, runs the steps on the joined batch, splits the answers; a bad request fails alone."""

    def initialize(self, args: dict[str, str]) -> None:
        """Construct the steps that the model's steps.json lists."""
        self.name = args["model_name"]
        folder = Path(args["model_repository"]) / args["model_version"]
        package = sys.modules[__package__]
        package.__path__ = [str(folder), *package.__path__]  # where the steps are
        sys.path += [f"{place}/vendor" for place in package.__path__]  # last: a server's own packages go first
        listed = json.loads((folder / "steps.json").read_text(encoding="utf-8"))
        self.steps, self.origins = [], list[str]()
        for row in listed["steps"]:
            file = importlib.import_module(f".{Path(row['file']).stem}", __package__)
            step = getattr(file, row["class"])(folder, **row["settings"])
            if hasattr(step, "load"):  # what only a server needs, and is dear
                step.load(int(args.get("model_instance_device_id", 0)))
            self.steps.append(step)
            self.origins.append(f"from {row['settings'].get('model', row['class'])}")  # the engine that it calls
        config = json.loads(args["model_config"])
        optional = {name for step in self.steps for name in getattr(step, "optional", ())}  # which it reads itself
        self.inputs = {each["name"]: each["data_type"] for each in config["input"] if each["name"] not in optional}
        self.outputs = {each["name"]: each["data_type"] for each in config["output"]}
        self.rules = {name: rule for step in self.steps for name, rule in getattr(step, "parameters", {}).items()}
        self.elsewhere = listed.get("parameters_elsewhere", ())  # parameters that other models of its ensemble take
        self.cached = listed.get("cached", False)  # by Triton, an answer for equal inputs
        self.on_request = {name for step in self.steps for name in getattr(step, "on_request", ())}
        packed = importlib.util.find_spec(".packed_parameters", __package__)  # in models that another one's step calls
        self.unpacked: Any = importlib.import_module(packed.name).unpacked if packed else str
        self.trims = [step.trim for step in self.steps if hasattr(step, "trim") and step.outputs.keys() & self.outputs]
        self.meter = Meter(self.name, self.steps, pb_utils.MetricFamily)
        self.queue: Any = None  # requests wait in Triton, however many
        if "queue" in listed and hasattr(pb_utils.MetricFamily, "HISTOGRAM"):  # Triton 24.08: all may answer later
            file = importlib.import_module(".request_queue", __package__)
            sizes = config.get("dynamic_batching", {}).get("preferred_batch_size") or [config["max_batch_size"]]
            self.queue = file.RequestQueue(self.run, self.send, listed["queue"], max(sizes), self.meter.counts)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request, in order; None for one that waits and is answered later."""
        clients = [Client(request, self.read) for request in requests]
        (self.queue or self.run)(clients)
        responses = [None if client.sender else self.response(client) for client in clients]
        self.meter.change()
        return responses

    def finalize(self) -> None:
        """Answer what waits before the model goes."""
        if self.queue:
            self.queue.thread.shutdown()
        self.meter.thread.shutdown()

    def run(self, clients: Sequence[Client]) -> None:
        """Give each client its answer, or why it has none: those of equal shapes and parameters as one batch."""
        groups: dict[tuple[Any, ...], list[Client]] = defaultdict(list)
        for client in clients:
            if not client.gone():
                groups[(client.parameters, *(array.shape[1:] for array in client.tensors.values()))].append(client)
        batches = [*groups.values()]
        for batch in batches:
            try:
                self.answer(batch)
            except KeyboardInterrupt:
                raise  # of a person who runs the model without Triton
            except BaseException as error:  # noqa: BLE001 - whatever a step raises, a panic of tokenizers too
                if len(batch) == 1:
                    batch[0].left = batch[0].left or error
                else:  # apart, to find the bad ones
                    batches += [[client] for client in batch if not client.left]

    def answer(self, clients: Sequence[Client]) -> None:
        """Join the tensors along the batch axis, run the steps once, split the outputs again."""
        parts = [client.tensors for client in clients]
        joined = parts[0] if len(parts) == 1 else {k: np.concatenate([part[k] for part in parts]) for k in self.inputs}
        of_items = [client for client in clients for _ in range(client.items)]
        done = self.run_steps(joined, json.loads(clients[0].parameters), of_items)
        given = {name: done[name] for name in self.outputs if name in done or name not in self.on_request}
        for name, array in given.items():
            if len(array) != len(of_items):
                raise TypeError(f"a step gave {len(array)} rows of {name} for {len(of_items)} items")
        end = 0
        for client in clients:
            end += client.items
            answer = {name: array[end - client.items : end] for name, array in given.items()}
            for trim in self.trims:
                answer |= trim(answer)
            client.answer = [
                pb_utils.Tensor(name, bytes_from_text(array) if self.outputs[name] == "TYPE_STRING" else array)
                for name, array in answer.items()
                if name in client.wanted
            ]

    def run_steps(self, tensors: Tensors, parameters: dict[str, Any], clients: Sequence[Client]) -> Tensors:
        """Pass a joined batch through the steps; each takes its inputs and parameters, and adds its outputs."""
        refuse_broken_numbers(tensors, "of the request")
        for number, step in enumerate(self.steps):
            began = time.perf_counter()
            more = {name: value for name, value in parameters.items() if name in getattr(step, "parameters", ())}
            if getattr(step, "takes_clients", False):
                more["clients"] = clients
            given = step(**{name: tensors[name] for name in step.inputs if name in tensors}, **more)
            refuse_broken_numbers(given, self.origins[number])
            tensors = tensors | given
            for owner in {"row_item", "window_text"} & given.keys() - step.inputs.keys():  # of each of its rows
                clients = [clients[index] for index in given[owner][:, 0]]
            self.meter.seconds[number] += time.perf_counter() - began
        return tensors

    def read(self, request: Any) -> tuple[Tensors, str]:
        """Its tensors, as many rows in each, text as str; its parameters, as JSON that equal requests share.

        Raises ValueError.
        """
        tensors: Tensors = {}
        for name, data_type in self.inputs.items():
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is None:
                raise ValueError(f"input {name} is missing")
            array = tensor.as_numpy()
            if array.ndim < 2 or not len(array) == len(next(iter(tensors.values()), array)) > 0:
                raise ValueError(f"{name} has no rows, or not as many as others: its shape is {list(array.shape)}")
            tensors[name] = text_from_bytes(name, array) if data_type == "TYPE_STRING" else array
        text = self.unpacked(request.parameters())
        if text in ("{}", ""):  # nearly all requests: nothing is parsed for them
            return tensors, "{}"
        if self.cached:
            raise ValueError("its answers are cached by their inputs alone: it takes no parameters")
        return tensors, json.dumps(parameters_from_json(text, self.rules, self.elsewhere))

    def response(self, client: Client) -> Any:
        """The outputs that were asked for; or what a client did wrong (ValueError), or what failed, which is logged."""
        if client.answer is not None and not client.left:
            return pb_utils.InferenceResponse(client.answer)
        error, codes = client.left or RuntimeError("it was not run"), pb_utils.TritonError
        if isinstance(error, ValueError | GoneError):
            message, kind = error.args if isinstance(error, GoneError) else (str(error), "INVALID_ARG")
            code = getattr(codes, kind)
        else:
            pb_utils.Logger.log_error(printable("".join(traceback.format_exception(error))))
            kind, code = type(error).__name__, getattr(error, "triton_code", codes.INTERNAL)
            message = f"{kind}: {error}"
        self.meter.counts[f"errors={kind}"] += 1
        return pb_utils.InferenceResponse(error=codes(printable(f"{self.name}: {message}"), code))

    def send(self, client: Client) -> None:
        """Answer a client that waited; the end, sent apart, tells it where memory had no room for the answer."""
        response, final = self.response(client), pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        for part, flags in [(response, final)] if response.has_error() else [(response, 0), (None, final)]:
            try:
                client.sender.send(part, flags)
            except Exception as error:  # noqa: BLE001 - the others are still to be answered
                pb_utils.Logger.log_error(f"{self.name}: an answer could not be sent: {error}")
        self.meter.change()


def refuse_broken_numbers(tensors: Tensors, origin: str) -> None:
    """Raise FloatingPointError where a tensor, of a request or from a step, holds NaN or infinity."""
    for name, array in tensors.items():
        if isinstance(array, np.ndarray) and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FloatingPointError(
                f"{name} {origin} holds NaN or infinity: the engine's weights are broken (tbgen check --weights finds "
                "them), or its data type cannot hold its numbers"
            )
