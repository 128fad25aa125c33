"""Table of the engines: how Triton runs each kind of model file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineKind:
    """One kind of engine: Triton's backend and platform, its file's name, the file's precision."""

    backend: str
    platform: str
    file: str
    precision: str


ENGINES = {
    "onnx": EngineKind("onnxruntime", "onnxruntime_onnx", "model.onnx", "fp32"),
}

GRAPHS = {"ensemble": ("ensemble",), "bls": ("bls",), "both": ("ensemble", "bls")}

# Names of array types as numpy and ONNX say them -> as a Triton config says them.
DATA_TYPES = {
    "bool": "TYPE_BOOL",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
}
