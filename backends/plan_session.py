"""A TensorRT plan on the GPU, ready to run: contexts, buffers, copies, CUDA graphs."""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .cuda import Stream
from .micro_batches import Tensors
from .plan import AXES, PlanError, TensorSpec, engine_from_file, plan_of_engine, profile_for

ALIGNMENT = 256
GRAPHS = 64  # recorded shapes kept, the least used forgotten first


def aligned(size: int) -> int:
    """`size` rounded up to where the next tensor may begin."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class PlanSession:
    """A plan on the GPU, ready to run: one stream, one execution context a profile, its buffers allocated once.

    Args:
        file: the plan.
        device: the GPU's number.
        profiles: numbers of the profiles to use; all when it is None.
        graphs: record a shape's run as a CUDA graph at its second use, which saves the processor the launches.

    For one thread at a time. Raises PlanError (no GPU, no TensorRT, another version's plan), CudaError.
    """

    def __init__(
        self, file: Path, *, device: int = 0, profiles: Sequence[int] | None = None, graphs: bool = False
    ) -> None:
        self.stream = Stream(device)
        self.engine, self.runtime = engine_from_file(file)
        self.plan = plan_of_engine(self.engine)
        numbers = range(len(self.plan.profiles)) if profiles is None else profiles
        if wrong := [number for number in numbers if not 0 <= number < len(self.plan.profiles)]:
            raise PlanError(f"{file.name} has profiles 0 to {len(self.plan.profiles) - 1}, there is no {wrong[0]}")
        self.profiles = {number: self.plan.profiles[number] for number in numbers}
        self.contexts = {number: self.context_of(number) for number in self.profiles}
        self.graphs: OrderedDict[tuple[int, int], Any] | None = OrderedDict() if graphs else None
        self.allocate()

    def context_of(self, profile: int) -> Any:
        """An execution context that uses a profile from now on."""
        context = self.engine.create_execution_context()
        if context is None or not context.set_optimization_profile_async(profile, self.stream.handle):
            raise PlanError(f"TensorRT cannot use optimization profile {profile}: too little memory on the GPU?")
        self.stream.wait()
        return context

    def allocate(self) -> None:
        """Inputs side by side in one block, outputs in another: one copy each way, whatever there is."""
        rows, tokens = (max(profile.most[axis] for profile in self.profiles.values()) for axis in (0, 1))
        sizes = {
            side: {name: aligned(size_of(spec, rows, tokens)) for name, spec in specs.items()}
            for side, specs in (("in", self.plan.inputs), ("out", self.plan.outputs))
        }
        self.pinned = {side: self.stream.pinned_memory(sum(parts.values())) for side, parts in sizes.items()}
        self.addresses = {side: self.stream.device_memory(sum(parts.values())) for side, parts in sizes.items()}

    def run(self, tensors: Mapping[str, np.ndarray]) -> Tensors:
        """The plan's inputs, each (rows, tokens), to its outputs. Raises ValueError for a shape of no profile."""
        rows, tokens = next(iter(tensors.values())).shape[:2]
        layout = self.put(tensors)
        self.begin(rows, tokens)
        self.stream.wait()
        return {
            name: self.pinned["out"][start:end].view(dtype).reshape(shape).copy()
            for name, (start, end, dtype, shape) in layout.items()
        }

    def put(self, tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, int, str, tuple[int, ...]]]:
        """Write the inputs into pinned memory; says where each output will lie there."""
        rows, tokens = next(iter(tensors.values())).shape[:2]
        start = 0
        for name, spec in self.plan.inputs.items():
            size = size_of(spec, rows, tokens)
            target = self.pinned["in"][start : start + size].view(spec.dtype)
            np.copyto(target, tensors[name].reshape(-1), casting="same_kind")
            start += aligned(size)
        layout, start = {}, 0
        for name, spec in self.plan.outputs.items():
            size = size_of(spec, rows, tokens)
            layout[name] = (start, start + size, spec.dtype, shape_of(spec, rows, tokens))
            start += aligned(size)
        return layout

    def begin(self, rows: int, tokens: int) -> None:
        """Begin copies and run for the inputs that lie in pinned memory, as a graph where one is recorded."""
        self.stream.enter()
        graph = self.graphs.get((rows, tokens)) if self.graphs is not None else None
        if graph is not None:
            self.stream.launch(graph)
        else:
            self.enqueue(rows, tokens)
        if self.graphs is not None:
            self.record(self.graphs, (rows, tokens), graph)

    def record(self, graphs: OrderedDict[tuple[int, int], Any], shape: tuple[int, int], graph: Any) -> None:
        """At a shape's second use keep its run as a graph: TensorRT must have run it just before, unrecorded."""
        if graph is None and shape in graphs:
            self.stream.begin_capture()
            self.enqueue(*shape)
            graph = self.stream.end_capture()
        graphs[shape] = graph
        graphs.move_to_end(shape)
        if len(graphs) > GRAPHS:
            _, forgotten = graphs.popitem(last=False)
            self.stream.wait()
            if forgotten is not None:
                self.stream.call("cuGraphExecDestroy", forgotten)

    def enqueue(self, rows: int, tokens: int) -> None:
        """Copy the inputs over, run, copy the outputs back."""
        context = self.context_for(rows, tokens)
        sent = self.place(context, "in", self.plan.inputs, rows, tokens)
        given = self.place(context, "out", self.plan.outputs, rows, tokens)
        self.stream.to_device(self.addresses["in"], self.pinned["in"], sent)
        if not context.execute_async_v3(self.stream.handle):
            raise PlanError(f"TensorRT could not run a batch of {rows} x {tokens}")
        self.stream.to_host(self.pinned["out"], self.addresses["out"], given)

    def context_for(self, rows: int, tokens: int) -> Any:
        """The context whose profile is tuned nearest to a shape. Raises ValueError when none takes it."""
        number = profile_for(self.profiles.items(), rows, tokens)
        if number is None:
            raise ValueError(
                f"a batch of {rows} x {tokens} fits no profile of the plan: {', '.join(map(str, self.plan.profiles))}"
            )
        return self.contexts[number]

    def place(self, context: Any, side: str, specs: Mapping[str, TensorSpec], rows: int, tokens: int) -> int:
        """Tell the context where the tensors of one side lie; the bytes that they take together."""
        address = self.addresses[side]
        end = address
        for name, spec in specs.items():
            shape = shape_of(spec, rows, tokens)
            if side == "in":
                context.set_input_shape(name, shape)
            elif tuple(context.get_tensor_shape(name)) != shape:
                raise PlanError(f"output {name} of the plan is {tuple(context.get_tensor_shape(name))}, not {shape}")
            context.set_tensor_address(name, address)
            end = address + size_of(spec, rows, tokens)
            address = address + aligned(end - address)
        return end - self.addresses[side]


def shape_of(spec: TensorSpec, rows: int, tokens: int) -> tuple[int, ...]:
    """A tensor's shape once the open axes are known."""
    known = {AXES[0]: rows, AXES[1]: tokens}
    return tuple(known[size] if isinstance(size, str) else size for size in spec.shape)


def size_of(spec: TensorSpec, rows: int, tokens: int) -> int:
    """A tensor's bytes."""
    return math.prod(shape_of(spec, rows, tokens)) * np.dtype(spec.dtype).itemsize
