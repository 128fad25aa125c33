"""The engine as a step, in micro-batches of like length: another Triton model, or its file in this process."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
import sys
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

try:
    import triton_python_backend_utils as pb_utils
except ModuleNotFoundError:  # outside Triton the step can be constructed and wired, not called
    pb_utils = None

Tensors = dict[str, np.ndarray]
ALONE = np.zeros(1, dtype=np.intp)  # the rows of a part that is one row


class EngineError(RuntimeError):
    """The engine answered with an error; carries Triton's status code."""

    def __init__(self, message: str, triton_code: Any) -> None:
        super().__init__(message)
        self.triton_code = triton_code


def terms(clients: Sequence[Any]) -> dict[str, Any]:
    """What a call for these clients carries: the longest of their timeouts, and the first one's trace."""
    if not clients:
        return {}
    timeouts = [client.timeout() for client in clients]
    return {"timeout": max(timeouts) if all(timeouts) else 0, "trace": clients[0].trace()}


class Engine:
    """Calls the model `model` of the same server with rows sorted by length, cut into micro-batches, unpadded.

    Args:
        folder: the version folder; nothing is read from it.
        model: name of the Triton model that is called.
        inputs, outputs: its tensors, name -> [data type, dims without the batch axis].
        max_batch_size: most rows that one call may carry.
        buckets: the sequence lengths that may be sent, ascending; none: any.
        max_tokens: most tokens of one call that carries more than one row, padding counted at its cost.
        call_tokens: what one call costs beyond its tokens, in tokens; steers how finely a batch is cut.
        padding_cost: what a padded token costs beside a real one: 1, or less for an engine that computes no padding.
        parallel_calls: calls in flight at once; serial calls leave engine instances idle.
        shapes: if given, the only shapes there are, each [least rows, most rows, least tokens, most tokens]; a call is
            filled up with padding to the cheapest that holds it.
    """

    takes_clients = True

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        model: str,
        inputs: Mapping[str, Sequence[Any]],
        outputs: Mapping[str, Sequence[Any]],
        max_batch_size: int,
        buckets: Sequence[int] = (),
        max_tokens: int = 512,
        call_tokens: int = 30,
        padding_cost: float = 1.0,
        parallel_calls: int = 2,
        shapes: Sequence[Sequence[int]] = (),
    ) -> None:
        self.model = model
        self.inputs = {name: tuple(spec) for name, spec in inputs.items()}
        self.outputs = {name: tuple(spec) for name, spec in outputs.items()}
        self.max_batch_size = max_batch_size
        self.buckets = list(buckets)
        self.max_tokens = max_tokens
        self.call_tokens = call_tokens
        self.padding_cost = padding_cost
        longest = self.buckets[-1] if self.buckets else sys.maxsize
        self.any_shape = not shapes
        self.shapes = [tuple(shape) for shape in shapes] or [(1, max_batch_size, 1, longest)]
        self.padded_tokens = functools.cache(lambda rows, width: math.prod(self.padded(rows, width)))
        self.counts = {"tokens": 0, "padded_tokens": 0}  # for the server's metrics
        self.several = ThreadPoolExecutor(parallel_calls, f"call-{model}").map if parallel_calls > 1 else map

    def __call__(self, *, clients: Sequence[Any] = (), **tensors: np.ndarray) -> Tensors:
        """Token tensors (rows, length), attention_mask among them. Gives the engine's outputs, rows in order.

        clients: who waits for each row. Rows of those who have gone by the time of a call are left out, their answers
        zeros; a call takes the longest timeout of its rows, and the trace of the first.
        """
        if len(tensors["attention_mask"]) == 1:
            return self.alone(tensors, clients)
        lengths = tensors["attention_mask"].sum(axis=1)
        order = np.argsort(-lengths, kind="stable")
        sorted_lengths = lengths[order].tolist()
        widths = [self.bucket(length) for length in sorted_lengths]
        cuts = self.cuts(widths, sorted_lengths)
        parts = [order[start:end] for start, end in itertools.pairwise(cuts)]
        tokens = sum(sorted_lengths)
        padded = sum(self.padded_tokens(len(rows), widths[cut]) for rows, cut in zip(parts, cuts, strict=False))
        self.count(tokens, padded)

        def answered(rows: np.ndarray, width: int) -> tuple[np.ndarray, Tensors] | None:
            """The rows of a part that are still waited for, and their answers."""
            if any([clients[row].gone() for row in rows] if clients else ()):
                rows = rows[[not clients[row].left for row in rows]]
            if not len(rows):
                return None
            sent = {name: array[rows, :width] for name, array in tensors.items()}
            return rows, self.call(sent, [clients[row] for row in rows] if clients else ())

        firsts = [widths[cut] for cut in cuts[:-1]]
        each = map(answered, parts, firsts) if len(parts) == 1 else self.several(answered, parts, firsts)
        done = [part for part in each if part]
        if not done:
            raise clients[0].gone()
        return {name: self.merged(name, done, tensors["attention_mask"].shape) for name in self.outputs}

    def alone(self, tensors: Tensors, clients: Sequence[Any]) -> Tensors:
        """The answers to one row: nothing to sort, to cut or to merge."""
        length = int(np.count_nonzero(tensors["attention_mask"]))
        width = self.bucket(length)
        self.count(length, self.padded_tokens(1, width))
        if clients and (gone := clients[0].gone()):
            raise gone
        shape = tensors["attention_mask"].shape
        cut = tensors if width == shape[1] else {name: array[:, :width] for name, array in tensors.items()}
        answers = self.call(cut, clients)
        return {
            name: self.merged(name, [(ALONE, answers)], shape) if self.runs_along_length(name) else answers[name]
            for name in self.outputs
        }

    def count(self, tokens: int, padded: int) -> None:
        """Add to what the metrics show; an engine that computes no padding has none."""
        self.counts["tokens"] += tokens
        self.counts["padded_tokens"] += padded if self.padding_cost == 1 else tokens

    def bucket(self, length: int) -> int:
        """The smallest length that may be sent for `length` tokens."""
        return self.buckets[bisect_left(self.buckets, length)] if self.buckets else max(length, 1)

    def cuts(self, widths: Sequence[int], lengths: Sequence[int] = ()) -> list[int]:
        """Where to cut rows sorted by falling width: [0, ..., rows], the least total of tokens, padding and calls.

        Dynamic programming over the rows; a part costs call_tokens, its tokens, and its padding at its cost. Without
        `lengths` all of the widths is tokens.
        """
        best = [0.0] + [float("inf")] * len(widths)
        start_of = [0] * (len(widths) + 1)
        until = [0, *itertools.accumulate(lengths or widths)]
        for start, width in enumerate(widths):
            for end in range(start + 1, min(start + self.most_rows(width), len(widths)) + 1):
                real = until[end] - until[start]
                tokens = real + self.padding_cost * (self.padded_tokens(end - start, width) - real)
                if end > start + 1 and tokens > self.max_tokens:
                    break
                cost = best[start] + self.call_tokens + tokens
                if cost < best[end]:
                    best[end], start_of[end] = cost, start
        cuts = [len(widths)]
        while cuts[0]:
            cuts.insert(0, start_of[cuts[0]])
        return cuts

    def most_rows(self, width: int) -> int:
        """How many rows of that many tokens one call may carry."""
        return min(self.max_batch_size, max(rows for _, rows, _, tokens in self.shapes if tokens >= width))

    def padded(self, rows: int, width: int) -> tuple[int, int]:
        """The smallest shape that the engine takes for so many rows and tokens."""
        fitting = (
            (max(rows, least_rows), max(width, least_tokens))
            for least_rows, most_rows, least_tokens, most_tokens in self.shapes
            if rows <= most_rows and width <= most_tokens
        )
        return min(fitting, key=math.prod)

    def call(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:
        """One request to the engine, filled up to a shape that it takes. Raises EngineError."""
        if self.any_shape:
            return self.request(tensors, clients)
        rows, width = tensors["attention_mask"].shape
        shape = self.padded(rows, width)
        if shape == (rows, width):
            return self.request(tensors, clients)
        filled = {name: np.zeros(shape, array.dtype) for name, array in tensors.items()}
        for name, array in tensors.items():
            filled[name][:rows, :width] = array
        answers = self.request(filled, clients)
        return {
            name: array[:rows, :width] if self.runs_along_length(name) else array[:rows]
            for name, array in answers.items()
        }

    def request(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:
        """One request to the engine as it is. Raises EngineError."""
        request = pb_utils.InferenceRequest(
            model_name=self.model,
            requested_output_names=list(self.outputs),
            inputs=[pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in tensors.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
            **terms(clients),
        )
        response = request.exec()
        if response.has_error():
            raise EngineError(response.error().message(), response.error().code())
        return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in self.outputs}

    def merged(self, name: str, parts: Sequence[tuple[np.ndarray, Tensors]], shape: tuple[int, ...]) -> np.ndarray:
        """The parts, rows and answers, as one array in the rows' order; answers along the length end in zeros."""
        rows, answer = parts[0]
        first = answer[name]
        if len(rows) == shape[0] and not self.runs_along_length(name):
            return first[np.argsort(rows)]
        trailing = shape[1:2] + first.shape[2:] if self.runs_along_length(name) else first.shape[1:]
        array = np.zeros((shape[0], *trailing), dtype=first.dtype)
        for rows, answer in parts:
            if self.runs_along_length(name):  # the engine may have joined the call with another of longer rows
                width = min(answer[name].shape[1], array.shape[1])
                array[rows, :width] = answer[name][:, :width]
            else:
                array[rows] = answer[name]
        return array

    def runs_along_length(self, name: str) -> bool:
        """Whether an output has one entry for each token: its first dim is open."""
        return self.outputs[name][1][0] == -1


# How long a session's threads burn their cores waiting for their share of an operator; between runs they do not.
SPINNING = {"session.intra_op.spin_duration_us": "100", "session.force_spinning_stop": "1"}


class LocalEngine(Engine):
    """Runs an ONNX file of the version folder in this process: no call, no copy of its tensors.

    Args:
        folder: the version folder.
        file: name of the ONNX file there.
        lengths: the input that takes the rows' widths, INT32 (rows), for a file that takes its tokens flat; none: it
            takes (rows, length).
        threads: of the session, 0: as many as the processor has cores.
        others: as those of Engine.

    One run at a time; on a GPU where ONNX Runtime has the CUDA provider.
    """

    def __init__(
        self, folder: Path, *, file: str = "model.onnx", lengths: str = "", threads: int = 0, **others: Any
    ) -> None:
        super().__init__(folder, model=file, parallel_calls=1, **others)
        self.file = folder / file
        self.lengths = lengths
        self.threads = threads
        self.session: Any = None

    def load(self, device: int = 0) -> None:
        """Open the file. Raises ImportError without ONNX Runtime, and its own errors for a file that it cannot run."""
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise missing(error) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self.threads
        options.enable_mem_pattern = False  # with ever new shapes it takes memory and gains no time
        for key, value in SPINNING.items():
            options.add_session_config_entry(key, value)
        wanted = {"CUDAExecutionProvider": {"device_id": device}, "CPUExecutionProvider": {}}
        there = onnxruntime.get_available_providers()
        providers = [(name, settings) for name, settings in wanted.items() if name in there]
        self.session = onnxruntime.InferenceSession(str(self.file), options, providers=providers)

    def request(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:  # noqa: ARG002
        """One run of the session."""
        rows, width = tensors["attention_mask"].shape
        if self.lengths:
            tensors = {name: array.reshape(-1) for name, array in tensors.items()}
            tensors[self.lengths] = np.array([width] * rows, dtype=np.int32)
        names = list(self.outputs)
        return dict(zip(names, self.session.run(names, tensors), strict=True))


class PlanEngine(Engine):
    """Runs a TensorRT plan of the version folder in this process.

    Args:
        folder: the version folder, with the plan and plan_runner.py.
        plan: name of the plan there.
        cuda_graphs: record the run of each shape as a CUDA graph at its second use.
        others: as those of Engine.
    """

    def __init__(self, folder: Path, *, plan: str = "model.plan", cuda_graphs: bool = False, **others: Any) -> None:
        super().__init__(folder, model=plan, parallel_calls=1, **others)
        self.file = folder / plan
        self.cuda_graphs = cuda_graphs
        self.session: Any = None

    def load(self, device: int = 0) -> None:
        """Load the plan on a GPU. Raises ImportError without tensorrt, and the runner's errors."""
        spec = importlib.util.spec_from_file_location("tbgen_plan_runner", self.file.with_name("plan_runner.py"))
        assert spec is not None
        assert spec.loader is not None
        runner = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = runner
        try:
            import tensorrt  # noqa: F401

            spec.loader.exec_module(runner)
        except ModuleNotFoundError as error:
            raise missing(error) from error
        self.session = runner.PlanSession(self.file, device=device, graphs=self.cuda_graphs)

    def request(self, tensors: Tensors, clients: Sequence[Any] = ()) -> Tensors:  # noqa: ARG002
        """One run of the plan."""
        answers: Tensors = self.session.run(tensors)
        return answers


def missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """What to do about a package that an engine in this process needs."""
    return ModuleNotFoundError(
        f"this model runs its engine itself, and its Python has no {error.name}: bring it along with tbgen env pack, "
        "or install it where Triton runs"
    )
