"""Table of the engines: how Triton runs each kind of model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tbgen.export.layout import PACKED, PADDED


@dataclass(frozen=True)
class EngineKind:
    """One kind of engine: Triton's backend and platform, its file's name, the file's precision.

    instances: where an instance runs, a kind of Triton's instance groups.
    plan: its file is a TensorRT plan, with profiles, and a tokenizer of its own.
    accelerator: parameters of ONNX Runtime's TensorRT accelerator, where it is used.
    calls: settings of the BLS call beside those that follow from the engine.
    layout: of the ONNX file that is exported for it, where the checkpoint has that layout.
    graph: that measured best around it (docs/performance.md), what --graph auto takes where the task has it.
    """

    backend: str
    platform: str
    file: str
    precision: str
    instances: str = "KIND_AUTO"
    plan: bool = False
    accelerator: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, Any] = field(default_factory=dict)
    layout: str = PADDED
    graph: str = "bls"


# On a GPU a call costs what some 600 tokens cost (kcbert-large, TensorRT 8.5: 1 x 128 in 1.1 ms, 32 x 128 in 5.9).
ON_GPU: dict[str, Any] = {"calls": {"call_tokens": 600, "max_tokens": 16384}, "graph": "ensemble"}
TENSORRT = {
    "precision_mode": "FP16",
    "max_workspace_size_bytes": str(4 << 30),
    "trt_engine_cache_enable": "1",
    "trt_layer_norm_fp32_fallback": "1",
}

ENGINES = {
    "onnx": EngineKind("onnxruntime", "onnxruntime_onnx", "model.onnx", "fp32", layout=PACKED),
    "onnx_fp16": EngineKind("onnxruntime", "onnxruntime_onnx", "model.onnx", "fp16", layout=PACKED),
    "onnx_int8": EngineKind("onnxruntime", "onnxruntime_onnx", "model.onnx", "int8", layout=PACKED),
    "onnx_trt": EngineKind(
        "onnxruntime", "onnxruntime_onnx", "model.onnx", "fp32", "KIND_GPU", accelerator=TENSORRT, **ON_GPU
    ),
    "trt_fp16": EngineKind("tensorrt", "tensorrt_plan", "model.plan", "fp16", "KIND_GPU", plan=True, **ON_GPU),
    "trt_fp32": EngineKind("tensorrt", "tensorrt_plan", "model.plan", "fp32", "KIND_GPU", plan=True, **ON_GPU),
}

# In the packed layout only attention is padded. What a padded token costs beside a real one grows as layers get narrow:
# a tenth at 768 (kcbert-base's shape), so that many times 768 over the width. INT8 makes the layers alone cheaper.
PACKED_TOKENS = 1024  # most tokens of a call
PADDING_COSTS, PADDING_COST_AT = {"fp32": 0.1, "fp16": 0.1, "int8": 0.4}, 768

AUTO = "auto"
EACH_GRAPH = ("ensemble", "bls", "single")
GRAPHS = {**{graph: (graph,) for graph in EACH_GRAPH}, "both": ("ensemble", "bls")}
