"""A TensorRT plan as an engine: which exports it runs, and how its file is run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tbgen.export.errors import UserError
from tbgen.generator.engines.engine import Engine

if TYPE_CHECKING:
    from tbgen.export.exported import Exported
    from tbgen.export.run import Run


def refuse_onnx(engine: Engine, exported: Exported) -> None:
    """Raise UserError for an ONNX file, with the command that builds a plan of it."""
    if exported.made.format != engine.format:
        command = f"tbgen export tensorrt --source {str(exported.folder)!r} -o FOLDER"
        raise UserError(
            f"engine {engine.name} runs a {engine.format}, {exported.model.name} is none; build one on the GPU that "
            f"will serve it ({command}), then name FOLDER with --source"
        )


def run_plan(exported: Exported) -> Run:
    """The plan as a function. Raises UserError where there is no TensorRT or no GPU."""
    from tbgen.export.tensorrt.session import plan_run

    return plan_run(exported.model)
