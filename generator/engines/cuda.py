"""ONNX Runtime's CUDA provider, as a config and as a step say its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    from tbgen.generator.engines.engine import EngineModel

# Settings that NVIDIA's backend reads among the parameters, and writes over where they are not there.
_PARAMETERS = {"arena_extend_strategy": {"kNextPowerOfTwo": "0", "kSameAsRequested": "1"}}


def cuda_options(config: ModelConfig, model: EngineModel) -> None:
    """Add the settings of the engine's row."""
    rest = {key: value for key, value in model.engine.cuda.items() if key not in _PARAMETERS}
    for key in model.engine.cuda.keys() & _PARAMETERS.keys():
        config.parameters[key].string_value = _PARAMETERS[key][model.engine.cuda[key]]
    if rest:
        config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="cuda", parameters=rest)
