"""The packed file for GPUs (export/onnx/varlen.py) as an engine: who runs it, and what it is told there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tbgen.export.errors import UserError

if TYPE_CHECKING:
    from tbgen.export.exported import Exported
    from tbgen.generator.engines.engine import Engine


def refuse_for_cpus(engine: Engine, exported: Exported) -> None:
    """Raise UserError for a file that is not written for GPUs alone."""
    if exported.made.format == engine.format and not exported.made.for_gpus:
        raise UserError(
            f"engine {engine.name} runs the packed layout with attention for GPUs, which this model or file has not; "
            "use --engine onnx_fp16 --device gpu, or export it with: tbgen export onnx --layout packed --optimize "
            "--precision fp16"
        )


def refuse_for_gpus(engine: Engine, exported: Exported) -> None:
    """Raise UserError for a file with operators that ONNX Runtime has for GPUs alone."""
    if exported.made.for_gpus:
        raise UserError(
            f"{exported.model.name} has attention that runs on GPUs alone, and engine {engine.name} runs on CPUs, too; "
            "use --engine onnx_cuda"
        )
