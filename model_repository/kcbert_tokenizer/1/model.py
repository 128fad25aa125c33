"""The one Triton entry point: runs the steps that steps.json lists, once for all requests that Triton hands over.

Copied into every Python model that tbgen writes; the steps and their assets lie beside it. Or it stands once, with
the steps, as a server's Python-based backend `tbgen`; steps.json, assets and steps of one's own then lie in the model.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - Triton's stub imports it at the first request, which would wait for it
import importlib.util
import itertools
import json
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import triton_python_backend_utils as pb_utils
except ModuleNotFoundError:  # outside Triton the steps can be constructed and called, not served
    pb_utils = None

HERE = Path(__file__).parent  # a model's version folder, or the backend's folder
VENDOR = HERE / "vendor"
if VENDOR.is_dir():  # packages that the model brings along; last on the path: a server's own ones go first
    sys.path.append(str(VENDOR))

Tensors = dict[str, np.ndarray]
Rules = dict[str, Mapping[str, Any]]

# What a request parameter may be: the type that a rule names (JSON Schema's word) -> Python types.
PARAMETER_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
PACKED = "tbgen_parameters"  # parameters as JSON in one string: a BLS call of Triton 2.51 carries no fractions


def steps_from_folder(folder: Path) -> list[Any]:
    """Construct the steps that folder/steps.json lists, in order; their files lie beside it, else beside this file."""
    listed = listing(folder)["steps"]
    return [step_from_file(place_of(row["file"], folder), row["class"])(folder, **row["settings"]) for row in listed]


def place_of(file: str, folder: Path) -> Path:
    """Where a step file is: in the version folder, or in the backend's when the steps stand there once for all."""
    return next((place / file for place in (folder, HERE) if (place / file).is_file()), folder / file)


def version_folder(args: Mapping[str, str]) -> Path:
    """Where the steps.json of a model lies: beside this file, or else in the folder of the model that is loaded."""
    if (HERE / "steps.json").is_file():
        return HERE
    folder = Path(args["model_repository"]) / args["model_version"]
    if (folder / "vendor").is_dir():
        sys.path.append(str(folder / "vendor"))
    return folder


def listing(folder: Path) -> dict[str, Any]:
    """What folder/steps.json says.

    `steps`; `parameters_elsewhere`, those that other models of its ensemble take; `cached`: Triton keeps the answers.
    """
    listed: dict[str, Any] = json.loads((folder / "steps.json").read_text(encoding="utf-8"))
    return listed


def step_from_file(file: Path, name: str) -> Any:
    """The class `name` of a Python file, loaded apart from sys.path so that no file name can clash."""
    spec = importlib.util.spec_from_file_location(f"tbgen_step_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


def chain_tensors(steps: Iterable[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a chain takes from outside and what it gives: name -> (Triton data type, dims without the batch axis).

    A tensor that a later step takes is used up inside the chain and not given.
    """
    taken: dict[str, Any] = {}
    given: dict[str, Any] = {}
    made: set[str] = set()
    for step in steps:
        taken.update({name: spec for name, spec in step.inputs.items() if name not in made and name not in taken})
        given = {name: spec for name, spec in given.items() if name not in step.inputs} | dict(step.outputs)
        made.update(step.outputs)
    return taken, given


def chain_parameters(steps: Iterable[Any]) -> Rules:
    """The request parameters that a chain takes: name -> rule. A step without any need not say so."""
    return {name: rule for step in steps for name, rule in getattr(step, "parameters", {}).items()}


def chain_on_request(steps: Iterable[Any]) -> frozenset[str]:
    """The outputs that a chain gives only when a request's parameters ask for them. A step without any need not say."""
    return frozenset(name for step in steps for name in getattr(step, "on_request", ()))


def run_steps(
    steps: Sequence[Any],
    tensors: Tensors,
    parameters: Mapping[str, Any] | None = None,
    seconds: list[float] | None = None,
    clients: Sequence[Client] = (),
) -> Tensors:
    """Pass a joined batch through the steps; each takes its named inputs and parameters and adds its outputs.

    The time of each step is added to `seconds`. A step that `takes_clients` gets those of its rows, from `clients`, one
    an item.
    """
    for number, step in enumerate(steps):
        began = time.perf_counter()
        declared = getattr(step, "parameters", ()) if parameters else ()
        chosen = {name: parameters[name] for name in declared if name in parameters} if parameters else {}
        if clients and getattr(step, "takes_clients", False):
            chosen["clients"] = clients_of_rows(clients, tensors)
        tensors = tensors | step(**{name: tensors[name] for name in step.inputs}, **chosen)
        if seconds is not None:
            seconds[number] += time.perf_counter() - began
    return tensors


def clients_of_rows(clients: Sequence[Client], tensors: Tensors) -> Sequence[Client]:
    """Who waits for each row: the client of the item that it belongs to, or of the text whose window it is."""
    for owner in ("row_item", "window_text"):
        if owner in tensors:
            clients = [clients[index] for index in tensors[owner][:, 0]]
    return clients


def parameters_from_json(text: str, rules: Rules, elsewhere: Collection[str] = ()) -> dict[str, Any]:
    """The checked parameters of a request, without those meant for other models. Raises ValueError."""
    parameters = unpacked(json.loads(text))
    unknown = sorted(parameters.keys() - rules.keys() - set(elsewhere))
    if unknown:
        known = ", ".join(sorted({*rules, *elsewhere})) or "none"
        raise ValueError(f"no parameter {unknown[0]!r}. Parameters: {known}")
    for name in sorted(parameters.keys() & rules.keys()):
        check_parameter(name, parameters[name], rules[name])
    return {name: parameters[name] for name in sorted(parameters) if name in rules}


def unpacked(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters with those that a BLS call packed into one. Raises ValueError."""
    if PACKED not in parameters:
        return parameters
    packed = parameters.pop(PACKED)
    values = json.loads(packed) if isinstance(packed, str) else None
    if not isinstance(values, dict):
        raise ValueError(f"parameter {PACKED} takes a JSON object, not {packed!r}")
    return parameters | values


def check_parameter(name: str, value: Any, rule: Mapping[str, Any]) -> None:
    """Hold a value against its rule: type, and minimum, maximum or enum where given. Raises ValueError."""
    kind = rule["type"]
    if not isinstance(value, PARAMETER_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise ValueError(f"parameter {name} takes a value of type {kind}, not {value!r}")
    if "enum" in rule and value not in rule["enum"]:
        raise ValueError(f"parameter {name} takes one of {', '.join(map(str, rule['enum']))}, not {value!r}")
    if kind in ("integer", "number"):
        least, most = rule.get("minimum", float("-inf")), rule.get("maximum", float("inf"))
        if not least <= value <= most:
            raise ValueError(f"parameter {name} takes values from {least} to {most}, not {value!r}")


# One numpy call instead of ravel, array and reshape, which for one text cost more than the coding.
DECODED = np.frompyfunc(bytes.decode, 1, 1)
ENCODED = np.frompyfunc(lambda value: str(value).encode("utf-8"), 1, 1)


def text_from_bytes(name: str, values: np.ndarray) -> np.ndarray:
    """Decode an array of UTF-8 bytes into an array of str of the same shape. Raises ValueError."""
    try:
        texts: np.ndarray = DECODED(values)
    except UnicodeDecodeError as error:
        item = values.ravel().tolist().index(error.object) // max(1, values[0].size)
        raise ValueError(f"{name} is not valid UTF-8: {error.reason} at byte {error.start} of item {item}") from error
    return texts


def bytes_from_text(values: np.ndarray) -> np.ndarray:
    """Encode an array of str into an array of UTF-8 bytes of the same shape. Raises TypeError for what is no text."""
    try:
        encoded: np.ndarray = ENCODED(values if values.dtype == object else values.astype(str))
    except UnicodeEncodeError as error:  # a ValueError, which would lay a step's bug at the client's door
        raise TypeError(f"a step gave {error.object!r}, which is no text: {error.reason}") from error
    return encoded


class GoneError(Exception):
    """Nobody waits for this answer any more; carries Triton's status code."""

    def __init__(self, message: str, triton_code: Any) -> None:
        super().__init__(message)
        self.triton_code = triton_code


class Client:
    """Who sent a request: whether the answer is still waited for, how long, and the request's trace.

    A client is gone when it cancelled (gRPC tells) or when the timeout that it sent, counted from now, is over.
    """

    PAUSE = 0.01  # seconds between two questions to Triton: each costs some 15 microseconds

    def __init__(self, request: Any) -> None:
        self.request = request
        self.asked = time.monotonic()
        allowed = request.timeout()  # microseconds, 0: no limit
        self.until = self.asked + allowed / 1e6 if allowed else None
        self.left: GoneError | None = None

    def gone(self) -> GoneError | None:
        """Why nobody waits any more; None while somebody does."""
        now = time.monotonic()
        if self.left is None and self.until is not None and now > self.until:
            self.left = GoneError("Request timeout expired", pb_utils.TritonError.UNAVAILABLE)
        elif self.left is None and now > self.asked + self.PAUSE:
            self.asked = now
            if self.request.is_cancelled():
                self.left = GoneError("Request cancelled", pb_utils.TritonError.CANCELLED)
        return self.left

    def timeout(self) -> int:
        """Microseconds for which the client still waits, at least 1; 0: without a limit."""
        return max(1, int((self.until - time.monotonic()) * 1e6)) if self.until is not None else 0

    def trace(self) -> Any:
        """The request's trace, for calls that belong to it."""
        return self.request.trace()


class Meter:
    """The steps' seconds, and what they count themselves (`counts`: name -> so far), as counters on the metrics port.

    A counter costs a message to the server, so they are written at most ten times a second.
    """

    PAUSE = 0.1  # seconds

    def __init__(self, model: str, steps: Sequence[Any]) -> None:
        self.steps = steps
        self.seconds = [0.0] * len(steps)
        self.written: dict[Any, float] = defaultdict(float)
        self.next = 0.0
        kind = pb_utils.MetricFamily.COUNTER
        times = pb_utils.MetricFamily(
            "tbgen_step_seconds", "time in each step of a model, summed over executions", kind
        )
        counts = pb_utils.MetricFamily("tbgen_step_count", "what steps count", kind)
        self.families = times, counts
        names = [type(step).__name__ for step in steps]
        self.times = [
            times.Metric(labels={"model": model, "step": name, "number": str(number)})
            for number, name in enumerate(names)
        ]
        self.counts = [
            (step, key, counts.Metric(labels={"model": model, "step": name, "count": key}))
            for step, name in zip(steps, names, strict=True)
            for key in getattr(step, "counts", ())
        ]

    def write(self) -> None:
        """Bring the counters up to date, if it is time."""
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + self.PAUSE
        for metric, value in zip(self.times, self.seconds, strict=True):
            self.advance(metric, value)
        for step, key, metric in self.counts:
            self.advance(metric, step.counts[key])

    def advance(self, metric: Any, value: float) -> None:
        if value > self.written[metric]:
            metric.increment(value - self.written[metric])
            self.written[metric] = value


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
        self.meter = Meter(self.name, self.steps)
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
            code, message = error.triton_code, f"{self.name}: {error}"
        else:
            pb_utils.Logger.log_error("".join(traceback.format_exception(error)))
            code = getattr(error, "triton_code", pb_utils.TritonError.INTERNAL)
            message = f"{self.name}: {type(error).__name__}: {error}"
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
