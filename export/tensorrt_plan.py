"""A TensorRT plan: what it takes and gives, read by name from the plan itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.exported import TensorSpec
from tbgen.export.tensorrt_profiles import Profile

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


@dataclass(frozen=True)
class Plan:
    """What is in a plan: its tensors as an ONNX file would say them, its profiles, and what it was built with."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    profiles: tuple[Profile, ...]
    version: str


def tensorrt() -> Any:
    """The package tensorrt. Raises MissingExtra."""
    return require("tensorrt", extra="tensorrt")


def logger_of(errors: list[str]) -> Any:
    """A TensorRT logger that keeps what went wrong in `errors` and says nothing."""
    trt = tensorrt()

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                errors.append(message)

    return Log()


def plan_of_engine(engine: Any) -> Plan:
    """Names, types, shapes and profiles of a deserialised engine."""
    trt = tensorrt()
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


def plan_from_file(file: Path) -> Plan:
    """Read a plan back. Raises UserError for one that this TensorRT or GPU cannot load."""
    engine, _ = engine_from_file(file)
    return plan_of_engine(engine)


def engine_from_file(file: Path) -> tuple[Any, Any]:
    """The engine of a plan and the runtime that must outlive it. Raises UserError."""
    trt, errors = tensorrt(), list[str]()
    runtime = trt.Runtime(logger_of(errors))
    engine = runtime.deserialize_cuda_engine(file.read_bytes())
    if engine is None:
        why = " ".join(errors[0].split()) if errors else "it is damaged"
        raise UserError(f"TensorRT {trt.__version__} cannot load {file.name}: {why}; build the plan here again")
    return engine, runtime
