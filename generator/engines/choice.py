"""What a request is served on, and the engine where it names none; said once, before anything is read or written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import UserError
from tbgen.export.exported import exported_from_folder
from tbgen.export.layout import PACKED, PADDED
from tbgen.export.onnx.packed import can_pack
from tbgen.export.sources import Source
from tbgen.generator.devices import CPU, GPU, device_here
from tbgen.generator.engines.table import ENGINES, engine_named, runner_of
from tbgen.generator.graphs import AUTO
from tbgen.generator.request import Request

_ON_CPUS = "onnx"
_ON_GPUS = tuple(name for name in ("onnx_cuda", "onnx_fp16") if name in ENGINES)  # of a checkpoint: the first that fits


def with_device(request: Request) -> Request:
    """The request with a device, and an engine where none is named; which of a GPU's, the source says later.

    An engine that runs on one device alone decides for it. Raises UserError where another is said, NoSuchName.
    """
    if request.engine == AUTO:
        device = device_here() if request.device == AUTO else request.device or CPU
        return replace(request, device=device, engine=_ON_CPUS if device == CPU else _ON_GPUS[0])
    engine = engine_named(request.engine)
    only = GPU if engine.on_gpu else CPU if engine.gpu is None else None
    if only and request.device not in (None, AUTO, only):
        raise UserError(
            f"engine {engine.name} is for {only.upper()}s; leave --device {request.device} out, or name another engine"
        )
    return replace(request, device=only or (device_here() if request.device == AUTO else request.device or CPU))


def engine_of_source(request: Request, source: Source, checkpoint: Checkpoint | None) -> str:
    """The engine of a request that names none and is served on GPUs.

    Of a checkpoint: onnx_cuda where it has the packed layout and neither padding nor a length is asked for, else
    onnx_fp16. Of a file that is there: what runs it.
    """
    if checkpoint is not None:
        packed = can_pack(checkpoint) and request.fixed_length is None and request.layout != PADDED
        return next(name for name in _ON_GPUS if packed or ENGINES[name].layouts != (PACKED,))
    if source.kind == "export":
        return runner_of(exported_from_folder(Path(source.place)).made)
    return "trt_fp16" if source.kind == "plan" else _ON_CPUS
