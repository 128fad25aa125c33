"""A checkpoint as ONNX files by optimum, in a peer's own venv: `onnx_files.py CHECKPOINT FOLDER FORM`.

FORM: plain; fused (ORTOptimizer, all levels); int8 (ORTQuantizer, dynamic, for AVX-512 VNNI); int8_fused, both.
"""

import functools
import sys
import tempfile
from pathlib import Path

import torch
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTModelForSequenceClassification, ORTOptimizer, ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig, OptimizationConfig
from transformers import AutoTokenizer

torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)  # the exporter that optimum was written for


def main(checkpoint: str, folder: Path, form: str) -> None:
    """Write one form, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        stage = Path(scratch, "plain")
        main_export(checkpoint, stage, task="text-classification", opset=14, do_validation=False)
        if form.startswith("int8"):
            stage = quantised(stage, Path(scratch, "int8"))
        if form.endswith("fused"):
            stage = fused(stage, Path(scratch, "fused"))
        AutoTokenizer.from_pretrained(checkpoint).save_pretrained(stage)
        # infinity with optimum 1.27 loads no other name from a local folder, and then fuses nothing by itself.
        next(stage.glob("*.onnx")).rename(stage / "model_optimized.onnx")
        stage.rename(folder)


def quantised(source: Path, target: Path) -> Path:
    """8-bit weights, a scale per column; activations scaled by what each run brings."""
    way = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    ORTQuantizer.from_pretrained(source).quantize(save_dir=target, quantization_config=way)
    return target


def fused(source: Path, target: Path) -> Path:
    optimizer = ORTOptimizer.from_pretrained(ORTModelForSequenceClassification.from_pretrained(source))
    optimizer.optimize(save_dir=target, optimization_config=OptimizationConfig(optimization_level=99))
    return target


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
