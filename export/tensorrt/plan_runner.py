"""A TensorRT plan on the GPU, ready to run: what it takes and gives, contexts, buffers, copies, CUDA graphs.

Stands alone, so that scaffold can lay it beside plan_engine.py into a model that runs a plan itself: it needs numpy,
the package tensorrt, and NVIDIA's driver, which it calls through ctypes.
"""

from __future__ import annotations

import ctypes
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np  # where it runs, numpy comes late: the records of exports are read without it

Tensors: TypeAlias = "dict[str, np.ndarray]"
Shape = tuple[int, int]

# TensorRT's DataType, by name -> numpy's name.
DATA_TYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "UINT8": "uint8",
}
AXES = ("batch", "sequence")

LIBRARY = "libcuda.so.1"
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: no waiting for the default stream
THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
ALIGNMENT = 256
GRAPHS = 64  # recorded shapes kept, the least used forgotten first


class PlanError(RuntimeError):
    """A plan cannot be loaded or run here; one sentence for a person."""


class CudaError(PlanError):
    """A call of the driver failed."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of an engine: numpy type name, and shape with the batch axis first; a named axis is dynamic."""

    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Profile:
    """Least, best and most of (rows, tokens)."""

    least: Shape
    best: Shape
    most: Shape

    @property
    def fixed(self) -> bool:
        """Whether it takes one shape only."""
        return self.least == self.most

    def takes(self, rows: int, tokens: int) -> bool:
        """Whether a batch of that shape may be run with it."""
        return self.least[0] <= rows <= self.most[0] and self.least[1] <= tokens <= self.most[1]

    def distance(self, rows: int, tokens: int) -> int:
        """How far a shape lies from the one that the profile was tuned for."""
        return abs(self.best[0] - rows) + abs(self.best[1] - tokens)

    def __str__(self) -> str:
        rows, tokens = ((str(a) if a == b else f"{a}-{b}") for a, b in zip(self.least, self.most, strict=True))
        return f"{rows}x{tokens}"


@dataclass(frozen=True)
class Plan:
    """What is in a plan: its tensors as an ONNX file would say them, its profiles, and what it was built with."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    profiles: tuple[Profile, ...]
    version: str


def logger_of(errors: list[str]) -> Any:
    """A TensorRT logger that keeps what went wrong in `errors` and says nothing."""
    import tensorrt as trt

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                errors.append(message)

    return Log()


def plan_of_engine(engine: Any) -> Plan:
    """Names, types, shapes and profiles of a deserialised engine."""
    import tensorrt as trt

    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    profiles = []
    for number in range(engine.num_optimization_profiles):
        shapes = [tuple(shape)[:2] for shape in engine.get_tensor_profile_shape(inputs[0], number)]
        profiles.append(Profile(*shapes))
    return Plan(
        {name: spec_of(engine, name) for name in inputs},
        {name: output_spec(engine, name, inputs[0], profiles[0]) for name in names if name not in inputs},
        tuple(profiles),
        trt.__version__,
    )


def spec_of(engine: Any, name: str) -> TensorSpec:
    """A tensor's type and shape; the open axes are the batch and the sequence."""
    sizes = tuple(engine.get_tensor_shape(name))
    shape = tuple(AXES[min(axis, 1)] if size == -1 else size for axis, size in enumerate(sizes))
    return TensorSpec(DATA_TYPES[engine.get_tensor_dtype(name).name], shape)


def output_spec(engine: Any, name: str, example: str, first: Profile) -> TensorSpec:
    """An output's type and shape, its axes open where the input's are.

    With several fixed profiles TensorRT 8.5 says the first one's numbers for the open axes of an output.
    """
    spec, asked = spec_of(engine, name), spec_of(engine, example).shape
    said = dict(enumerate(first.most))
    shape = tuple(
        asked[axis] if axis in said and isinstance(asked[axis], str) and size == said[axis] else size
        for axis, size in enumerate(spec.shape)
    )
    return TensorSpec(spec.dtype, shape)


def engine_from_file(file: Path) -> tuple[Any, Any]:
    """The engine of a plan and the runtime that must outlive it. Raises PlanError."""
    import tensorrt as trt

    errors: list[str] = []
    runtime = trt.Runtime(logger_of(errors))
    engine = runtime.deserialize_cuda_engine(file.read_bytes())
    if engine is None:
        why = " ".join(errors[0].split()) if errors else "it is damaged"
        raise PlanError(f"TensorRT {trt.__version__} cannot load {file.name}: {why}; build the plan here again")
    return engine, runtime


def profile_for(profiles: Iterable[tuple[int, Profile]], rows: int, tokens: int) -> int | None:
    """The number of the profile tuned nearest to a shape, None when none takes it."""
    fitting = [(profile.distance(rows, tokens), number) for number, profile in profiles if profile.takes(rows, tokens)]
    return min(fitting)[1] if fitting else None


def driver() -> ctypes.CDLL:
    """The CUDA driver, initialised. Raises PlanError where there is none, or no GPU."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise PlanError(
            f"no GPU: {LIBRARY} is not on this machine; plans are built and run on one with NVIDIA's driver"
        ) from None
    count = c_int()
    if library.cuInit(0) or library.cuDeviceGetCount(byref(count)) or not count.value:
        raise PlanError("no GPU: NVIDIA's driver finds none on this machine; plans are built and run on one")
    return library


class Stream:
    """A stream in the device's primary context (the one that TensorRT uses), and the memory used with it."""

    def __init__(self, device: int = 0) -> None:
        self.library = driver()
        handle, self.context, stream = c_int(), c_void_p(), c_void_p()
        self.call("cuDeviceGet", byref(handle), device)
        self.call("cuDevicePrimaryCtxRetain", byref(self.context), handle)
        self.enter()
        self.call("cuStreamCreate", byref(stream), NON_BLOCKING)
        self.handle = stream.value or 0
        self.pointer = stream

    def call(self, name: str, *arguments: object) -> None:
        """Call a function of the driver. Raises CudaError with the driver's own words."""
        if status := getattr(self.library, name)(*arguments):
            words = c_char_p()
            self.library.cuGetErrorString(status, byref(words))
            raise CudaError(f"{name}: {(words.value or str(status).encode()).decode('utf-8')}")

    def enter(self) -> None:
        """Make the context the calling thread's."""
        self.call("cuCtxSetCurrent", self.context)

    def device_memory(self, size: int) -> int:
        """Address of `size` bytes on the device."""
        address = c_ulonglong()
        self.call("cuMemAlloc_v2", byref(address), c_size_t(size))
        return address.value

    def pinned_memory(self, size: int) -> np.ndarray:
        """`size` bytes of page-locked memory, (size,) uint8; copies from it run beside the processor."""
        import numpy as np

        address = c_void_p()
        self.call("cuMemHostAlloc", byref(address), c_size_t(size), c_uint(0))
        return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8)), (size,))

    def to_device(self, address: int, source: np.ndarray, size: int) -> None:
        """Begin to copy `size` bytes of pinned memory."""
        self.call(
            "cuMemcpyHtoDAsync_v2", c_ulonglong(address), c_void_p(source.ctypes.data), c_size_t(size), self.pointer
        )

    def to_host(self, target: np.ndarray, address: int, size: int) -> None:
        """Begin to copy `size` bytes into pinned memory."""
        self.call(
            "cuMemcpyDtoHAsync_v2", c_void_p(target.ctypes.data), c_ulonglong(address), c_size_t(size), self.pointer
        )

    def wait(self) -> None:
        """Return when all that was begun is done."""
        self.call("cuStreamSynchronize", self.pointer)

    def event(self) -> c_void_p:
        """A mark in the stream, for `milliseconds`."""
        mark = c_void_p()
        self.call("cuEventCreate", byref(mark), c_uint(0))
        self.call("cuEventRecord", mark, self.pointer)
        return mark

    def milliseconds(self, start: c_void_p, end: c_void_p) -> float:
        """The device's time between two marks that are done; the marks are given back."""
        between = c_float()
        self.call("cuEventElapsedTime", byref(between), start, end)
        for mark in (start, end):
            self.call("cuEventDestroy_v2", mark)
        return between.value

    def begin_capture(self) -> None:
        """Record what follows instead of running it."""
        self.call("cuStreamBeginCapture_v2", self.pointer, THREAD_LOCAL)

    def end_capture(self) -> c_void_p:
        """What was recorded, as a graph to launch."""
        graph, executable = c_void_p(), c_void_p()
        self.call("cuStreamEndCapture", self.pointer, byref(graph))
        self.call("cuGraphInstantiateWithFlags", byref(executable), graph, c_ulonglong(0))
        self.call("cuGraphDestroy", graph)
        return executable

    def launch(self, graph: c_void_p) -> None:
        """Begin to run a recorded graph."""
        self.call("cuGraphLaunch", graph, self.pointer)


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
        import numpy as np

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
    import numpy as np

    return math.prod(shape_of(spec, rows, tokens)) * np.dtype(spec.dtype).itemsize
