"""The one Triton entry point: runs the steps that steps.json lists, once for all requests that Triton hands over.

Copied into every Python model that tbgen writes; its neighbours, the steps and their assets lie beside it. Or it stands
once, with the steps, as a server's Python-based backend `tbgen`; steps.json, assets and steps of one's own then lie in
the model.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - Triton's stub imports it at the first request, which would wait for it
import itertools
import traceback
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # a server's backend is imported by its bare name; then it is the package of its neighbours
    __path__ = __spec__.submodule_search_locations = [str(Path(__file__).parent)]
    __package__ = __name__

from .chain import (
    chain_on_request,
    chain_parameters,
    chain_tensors,
    listing,
    run_steps,
    steps_from_folder,
    version_folder,
)
from .clients import Client, GoneError
from .meter import Meter
from .request_parameters import parameters_from_json
from .text_tensors import bytes_from_text, text_from_bytes

try:
    import triton_python_backend_utils as pb_utils
except ModuleNotFoundError:  # outside Triton the steps can be constructed and called, not served
    pb_utils = None

Tensors = dict[str, np.ndarray]


class TritonPythonModel:
    """Joins requests, runs the steps on the joined batch, splits the answers; a bad request fails alone."""

    def initialize(self, args: dict[str, str]) -> None:
        """Construct the steps that the model's steps.json lists."""
        self.name = args["model_name"]
        folder = version_folder(args)
        self.steps = steps_from_folder(folder)
        for step in self.steps:
            if hasattr(step, "load"):  # what only a server needs, and is dear
                step.load(int(args.get("model_instance_device_id", 0)))
        self.inputs, self.outputs = chain_tensors(self.steps)
        self.rules = chain_parameters(self.steps)
        self.on_request = chain_on_request(self.steps)
        listed = listing(folder)
        self.elsewhere = frozenset(listed.get("parameters_elsewhere", ()))
        self.cached = listed.get("cached", False)
        self.meter = Meter(self.name, self.steps, pb_utils.MetricFamily)
        self.trims = [
            step.trim for step in self.steps if hasattr(step, "trim") and set(step.outputs) & set(self.outputs)
        ]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request, in order."""
        answers: list[Any] = [None] * len(requests)
        groups: dict[tuple[Any, ...], list[tuple[int, Tensors]]] = defaultdict(list)
        clients = [Client(request) for request in requests]
        for index, request in enumerate(requests):
            try:
                tensors, parameters = self.read(request), self.parameters(request)
            except ValueError as error:
                answers[index] = self.refusal(error)
            else:
                groups[(parameters, *(array.shape[1:] for array in tensors.values()))].append((index, tensors))
        for (parameters, *_), group in groups.items():
            waiting = [clients[index] for index, _ in group]
            joined = self.answer_group([tensors for _, tensors in group], dict(parameters), waiting)
            for (index, _), answer in zip(group, joined, strict=True):
                answers[index] = self.write(requests[index], answer)
        self.meter.write()
        return answers

    def answer_group(
        self, parts: list[Tensors], parameters: dict[str, Any], clients: Sequence[Client]
    ) -> list[Tensors | Exception]:
        """Run requests of equal shapes and parameters as one batch; when that fails, apart, to find the bad ones."""
        if len(parts) == 1 and clients[0].left:
            return [clients[0].left]
        try:
            answers = self.answer_joined(parts, parameters, clients)
        except Exception as error:  # noqa: BLE001 - whatever a step raises must not fail the neighbours
            if len(parts) == 1:
                return [error]
            apart = zip(parts, clients, strict=True)
            return [answer for part, client in apart for answer in self.answer_group([part], parameters, [client])]
        return [client.left or answer for answer, client in zip(answers, clients, strict=True)]

    def answer_joined(
        self, parts: list[Tensors], parameters: dict[str, Any], clients: Sequence[Client]
    ) -> list[Tensors]:
        """Join the parts along the batch axis, run the steps once, split the outputs again."""
        rows = [len(next(iter(part.values()))) for part in parts]
        joined = parts[0] if len(parts) == 1 else {k: np.concatenate([part[k] for part in parts]) for k in self.inputs}
        of_items = [client for client, count in zip(clients, rows, strict=True) for _ in range(count)]
        done = run_steps(self.steps, joined, parameters, self.meter.seconds, of_items)
        given = {name: done[name] for name in self.outputs if name in done or name not in self.on_request}
        for name, array in given.items():
            if len(array) != len(of_items):
                raise TypeError(f"a step gave {len(array)} rows of {name} for {len(of_items)} items")
        answers = [given]
        if len(parts) > 1:
            ends = zip(rows, itertools.accumulate(rows), strict=True)
            answers = [{k: array[end - count : end] for k, array in given.items()} for count, end in ends]
        for trim in self.trims:
            answers = [answer | trim(answer) for answer in answers]
        return answers

    def read(self, request: Any) -> Tensors:
        """The tensors of one request; text as str. Raises ValueError."""
        tensors = {}
        for name, (data_type, _) in self.inputs.items():
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is None:
                raise ValueError(f"input {name} is missing")
            array = tensor.as_numpy()
            tensors[name] = text_from_bytes(name, array) if data_type == "TYPE_STRING" else array
        return tensors

    def parameters(self, request: Any) -> tuple[tuple[str, Any], ...]:
        """The checked parameters of one request, as a key that equal requests share. Raises ValueError."""
        text = request.parameters()
        if text in ("{}", ""):  # nearly all requests: nothing is parsed for them
            return ()
        if self.cached:
            raise ValueError("its answers are cached by their inputs alone: it takes no parameters")
        return tuple(parameters_from_json(text, self.rules, self.elsewhere).items())

    def write(self, request: Any, tensors: Tensors | Exception) -> Any:
        """The response with the outputs that the request asked for, or with what went wrong."""
        if isinstance(tensors, Exception):
            return self.refusal(tensors)
        wanted = request.requested_output_names()
        try:
            return pb_utils.InferenceResponse(
                output_tensors=[
                    pb_utils.Tensor(
                        name, bytes_from_text(tensors[name]) if data_type == "TYPE_STRING" else tensors[name]
                    )
                    for name, (data_type, _) in self.outputs.items()
                    if name in wanted and name in tensors
                ]
            )
        except Exception as error:  # noqa: BLE001 - an answer that cannot be sent must not fail the neighbours
            return self.refusal(error)

    def refusal(self, error: Exception) -> Any:
        """ValueError: the client sent what cannot be served; GoneError: it has gone.

        Anything else is a bug or a failed engine: logged.
        """
        if isinstance(error, ValueError):
            code, message = pb_utils.TritonError.INVALID_ARG, f"{self.name}: {error}"
        elif isinstance(error, GoneError):
            code, message = getattr(pb_utils.TritonError, error.code), f"{self.name}: {error}"
        else:
            pb_utils.Logger.log_error("".join(traceback.format_exception(error)))
            code = getattr(error, "triton_code", pb_utils.TritonError.INTERNAL)
            message = f"{self.name}: {type(error).__name__}: {error}"
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
