"""What stands for an engine's file where that needs a GPU and there is none: its twin, on the CPU."""

from __future__ import annotations

from pathlib import Path

from tbgen.export.onnx.twin import GPU_ALONE, write_twin
from tbgen.export.run import cuda_here
from tbgen.generator.check.onnx_file import NotOnnx, read_onnx

STANDS_FOR_FILE = (
    "there is no GPU here: the file's twin answered, the same graph with its attention in standard operators"
)


def runnable_folder(folder: Path, scratch: Path) -> Path:
    """A version folder that this machine can run: itself, or links to its files and the twins of those that it cannot.

    The latter lies in `scratch`. Raises UserError without onnx.
    """
    files = [file for file in folder.glob("*.onnx") if _needs_gpu(file)]
    if not files or cuda_here():
        return folder
    stand_in = scratch / folder.parent.name / folder.name
    stand_in.mkdir(parents=True)
    for file in folder.iterdir():
        if file not in files:
            (stand_in / file.name).symlink_to(file)
    for file in files:
        beside = stand_in / f"{file.name}.data"  # the weights of a large one: the twin has its own
        beside.unlink(missing_ok=True)
        write_twin(file, stand_in / file.name)
    return stand_in


def _needs_gpu(file: Path) -> bool:
    """Whether a file has operators that ONNX Runtime has for GPUs alone; what is no ONNX file has none."""
    try:
        return any(node.operator in GPU_ALONE for node in read_onnx(file).nodes)
    except (NotOnnx, OSError):
        return False
