"""Run by the Python that has TensorRT-RTX: a plan by tbgen's builder, in two rounds with one timing cache, in JSON.

rtx_plan.py ROW MODEL.onnx CACHE SHAPE...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tbgen.export.tensorrt import builder as tbgen_builder
from tbgen.export.tensorrt.plan import logger_of
from tbgen.export.tensorrt.profiles import profile_from_text
from tbgen.export.tensorrt.rtx import rtx, rtx_configured
from tbgen.export.tensorrt.versions import TRAITS


def main(row: str, model: Path, cache: Path, shapes: list[str]) -> None:
    trt, traits, errors = rtx(), TRAITS[row], list[str]()
    builder = trt.Builder(logger_of(trt, errors))
    told: list[tuple[str, float | None]] = []
    sizes, profiles = [], 0
    for _ in range(2):
        network = tbgen_builder.network_from_onnx(trt, builder, model, traits, errors)
        config = rtx_configured(trt, builder, network, traits, model, [profile_from_text(shape) for shape in shapes])
        tbgen_builder.use_cache(config, cache)
        tbgen_builder.watch(trt, config, traits, lambda words, share: told.append((words, share)))
        sizes.append(tbgen_builder.built(trt, builder, network, config, errors).nbytes)
        profiles = config.num_optimization_profiles
        tbgen_builder.save_cache(config, cache)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    products = {layer.get_output(0).dtype.name for layer in layers if layer.type == trt.LayerType.MATRIX_MULTIPLY}
    typed = network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    inputs = {network.get_input(index).dtype.name for index in range(network.num_inputs)}
    said = {"typed": typed, "products": sorted(products), "inputs": sorted(inputs), "profiles": profiles}
    print(json.dumps({**said, "sizes": sizes, "told": told, "tf32": config.get_flag(trt.BuilderFlag.TF32)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
