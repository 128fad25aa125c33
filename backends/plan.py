"""What is in a TensorRT plan: its tensors as an ONNX file would say them, its profiles, what it was built with."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


class PlanError(RuntimeError):
    """A plan cannot be loaded or run here; one sentence for a person."""


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


def logger_of(trt: Any, errors: list[str]) -> Any:
    """A logger of the module `trt` that keeps what went wrong in `errors` and says nothing."""

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
    runtime = trt.Runtime(logger_of(trt, errors))
    engine = runtime.deserialize_cuda_engine(file.read_bytes())
    if engine is None:
        why = " ".join(errors[0].split()) if errors else "it is damaged"
        raise PlanError(f"TensorRT {trt.__version__} cannot load {file.name}: {why}; build the plan here again")
    return engine, runtime


def profile_for(profiles: Iterable[tuple[int, Profile]], rows: int, tokens: int) -> int | None:
    """The number of the profile tuned nearest to a shape, None when none takes it."""
    fitting = [(profile.distance(rows, tokens), number) for number, profile in profiles if profile.takes(rows, tokens)]
    return min(fitting)[1] if fitting else None
