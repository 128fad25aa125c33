"""The packed file for GPUs (export/onnx/varlen.py) as an engine: who runs it, and what it is told there."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tbgen.export.errors import UserError

if TYPE_CHECKING:
    from tbgen.export.exported import Exported
    from tbgen.generator.engines.engine import Engine

_RECORDED_TOKENS = 1024  # beyond it launching is not the limit, and a recorded graph takes much memory


def recordable(exported: Exported) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """The file as one whose runs CUDA graphs record, and how large they are; of numbers along the tokens as it is."""
    from tbgen.export.onnx.graph_file import weights_beside
    from tbgen.export.onnx.recordable import write_recordable

    file = Path(_scratch().name, exported.made.sha256 or "expected", exported.model.name)
    file.parent.mkdir(exist_ok=True)
    if not file.exists() and not write_recordable(exported.model, file, longest=exported.max_length):
        return exported.files, {}
    files = tuple(path for path in (file, weights_beside(file)) if path.exists())
    return files, {"graph_tokens": _RECORDED_TOKENS, "longest": exported.max_length}


@cache
def _scratch() -> TemporaryDirectory[str]:
    """A folder that is there until this process ends: models are composed before they are written."""
    return TemporaryDirectory()


def refuse_for_cpus(engine: Engine, exported: Exported) -> None:
    """Raise UserError for a file that is not written for GPUs alone."""
    if exported.made.format == engine.format and not exported.made.for_gpus:
        raise UserError(
            f"engine {engine.name} runs the packed layout with attention for GPUs, which this model or file has not; "
            "use --engine onnx_fp16 --device gpu, or export it with: tbgen export onnx --source CHECKPOINT -o "
            "FOLDER --layout packed --optimize --precision fp16"
        )


def refuse_for_gpus(engine: Engine, exported: Exported) -> None:
    """Raise UserError for a file with operators that ONNX Runtime has for GPUs alone."""
    if exported.made.for_gpus:
        raise UserError(
            f"{exported.model.name} has attention that runs on GPUs alone, and engine {engine.name} runs on CPUs, too; "
            "use --engine onnx_cuda"
        )
