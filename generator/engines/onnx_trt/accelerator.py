"""ONNX Runtime with its TensorRT accelerator, which builds a plan of a plain FP32 file when Triton loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tbgen.export.errors import UserError
from tbgen.export.tensorrt.profiles import LEAST_TOKENS
from tbgen.export.tensorrt.versions import WORKSPACE
from tbgen.generator.engines.engine import Engine, EngineModel

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    from tbgen.export.exported import Exported

_CACHE = "/tmp/tensorrt_engine_cache"  # inside the server's container
_PARAMETERS = {
    "precision_mode": "FP16",
    "max_workspace_size_bytes": str(WORKSPACE),
    "trt_engine_cache_enable": "1",
    "trt_layer_norm_fp32_fallback": "1",
}


def refuse_converted(engine: Engine, exported: Exported) -> None:
    """Raise UserError for an ONNX file that TensorRT could not build a plan of."""
    made = exported.made
    if made.format == engine.format and (made.optimized or made.precision != engine.precision):
        raise UserError(
            f"engine {engine.name} builds its own plan of a plain {engine.precision} file, and {exported.model.name} "
            f"is {'fused for ONNX Runtime alone' if made.optimized else made.precision}; export it anew"
        )


def accelerate(config: ModelConfig, model: EngineModel) -> None:
    """Add the accelerator, with one range of shapes, so that no shape builds again."""
    rows = model.max_batch_size
    ranges = {"min": (1, LEAST_TOKENS), "opt": (rows, 64), "max": (rows, model.exported.max_length)}
    shapes = {
        f"trt_profile_{key}_shapes": ",".join(f"{tensor}:{shape[0]}x{shape[1]}" for tensor in model.inputs)
        for key, shape in ranges.items()
    }
    config.optimization.execution_accelerators.gpu_execution_accelerator.add(
        name="tensorrt", parameters={**_PARAMETERS, "trt_engine_cache_path": f"{_CACHE}/{model.name}", **shapes}
    )
