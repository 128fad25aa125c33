"""The engine file behind a request: an export as it is, a ready file taken in, or a checkpoint exported."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, exported_from_folder
from tbgen.export.layout import PACKED, PADDED
from tbgen.export.onnx.export import expected_export, onnx_from_checkpoint
from tbgen.export.onnx.packed import can_pack
from tbgen.export.ready.onnx_file import export_from_onnx
from tbgen.export.ready.plan import export_from_plan_file
from tbgen.export.sources import Source
from tbgen.generator.engines import AUTO, ENGINES
from tbgen.generator.models.build_script import build_traits, check_buildable, export_to_build, onnx_precision
from tbgen.generator.releases import Release, release_named
from tbgen.generator.request import Request
from tbgen.generator.resolve import export_task, source_of

Progress = Callable[[str], None]  # is told what is done now
Foresee = Callable[[Exported], None]  # is told what will be exported; raises UserError


def exported_from_request(request: Request, folder: Path, foresee: Foresee, on_progress: Progress) -> Exported:
    """The export that the request's source is, or the one made from it in `folder`. Raises UserError.

    `foresee` is told what will come out before a checkpoint is exported.
    """
    source, release = source_of(request), release_to_build(request)
    exported = MAKERS[source.kind](request, source, release, folder, foresee, on_progress)
    if release is None:
        return as_asked(exported, request)
    check_buildable(exported, ENGINES[request.engine], release)
    return export_to_build(as_asked(exported, request), ENGINES[request.engine], release)


def export_as_it_is(request: Request, source: Source, *_: Any) -> Exported:
    """An export as it is. Raises UserError when it has not the layout that is asked for."""
    exported = exported_from_folder(Path(source.place))
    made = exported.made.get("layout", PADDED)
    if request.layout not in (AUTO, made):
        raise UserError(
            f"the export in {str(exported.folder)!r} is {made}; export it anew with --layout {request.layout}, or "
            "leave --layout out here"
        )
    return exported


def ready_onnx(
    request: Request, source: Source, release: Release | None, folder: Path, _: Foresee, on_progress: Progress
) -> Exported:
    """A ready ONNX file, taken in."""
    if request.layout == PACKED:
        raise UserError("--layout packed is for a checkpoint; a ready ONNX file is served as it is")
    on_progress(f"Reading {Path(source.place).name}")
    return export_from_onnx(
        Path(source.place),
        source.companions,
        folder,
        task=export_task(request),
        labels=request.labels or None,
        rename=source.rename,
        fixed_length=request.fixed_length,
        precision=precision_for(request, release),
    )


def ready_plan(request: Request, source: Source, _: Any, folder: Path, __: Foresee, on_progress: Progress) -> Exported:
    """A ready plan, taken in."""
    on_progress(f"Reading {Path(source.place).name}")
    return export_from_plan_file(
        Path(source.place),
        source.companions,
        folder,
        precision=ENGINES[request.engine].precision,
        task=export_task(request),
        labels=request.labels or None,
    )


def exported_checkpoint(
    request: Request, source: Source, release: Release | None, folder: Path, foresee: Foresee, on_progress: Progress
) -> Exported:
    """A checkpoint, exported for the engine."""
    checkpoint = source.checkpoint(task=export_task(request), labels=request.labels or None)
    options: dict[str, Any] = {
        "fixed_length": request.fixed_length,
        "precision": precision_for(request, release),
        "layout": PADDED if release else layout_of(request, checkpoint),
    }
    with tempfile.TemporaryDirectory() as scratch:
        expected = expected_export(checkpoint, Path(scratch), **options)
        foresee(export_to_build(expected, ENGINES[request.engine], release) if release else expected)
    on_progress(f"Exporting {Path(source.place).name} to ONNX")
    options |= {"opset": build_traits(release).opset} if release else {}
    return onnx_from_checkpoint(checkpoint, folder, progress=on_progress, **options)


def layout_of(request: Request, checkpoint: Checkpoint) -> str:
    """The layout that is asked for, or the engine's where the checkpoint has it and no length is fixed."""
    if request.layout != AUTO:
        return request.layout
    return ENGINES[request.engine].layout if can_pack(checkpoint) and request.fixed_length is None else PADDED


# How the export of each kind of source is had.
MAKERS: dict[str, Callable[..., Exported]] = {
    "export": export_as_it_is,
    "onnx": ready_onnx,
    "plan": ready_plan,
    "checkpoint": exported_checkpoint,
    "state": exported_checkpoint,
}


def precision_for(request: Request, release: Release | None) -> str:
    """The precision of the ONNX file that a request's engine runs, or is built from."""
    kind = ENGINES[request.engine]
    return onnx_precision(kind, release) if release else kind.precision


def as_asked(exported: Exported, request: Request) -> Exported:
    """An export with the labels and the fixed length that a request wants. Raises UserError where it has others."""
    labels, length, own = request.labels or exported.labels, request.fixed_length, exported.fixed_length
    if len(labels) != len(exported.labels):
        raise UserError(
            f"{len(labels)} labels were named ({', '.join(labels)}), the export has {len(exported.labels)} "
            f"({', '.join(exported.labels)})"
        )
    open_ended = own is None and exported.model.suffix == ".onnx" and not exported.packed
    if length not in (None, own) and not (open_ended and length <= exported.max_length):
        has = f"a fixed length of {own} tokens" if own else f"at most {exported.max_length} tokens"
        has = "the packed layout" if exported.packed else has
        raise UserError(f"fixed length {length} does not fit: {exported.model.name} has {has}; export it anew")
    fixed = length or own
    return replace(exported, labels=tuple(labels), fixed_length=fixed, max_length=fixed or exported.max_length)


def release_to_build(request: Request) -> Release | None:
    """The Triton release in whose container the plan will be built, if any. Raises UserError."""
    if request.build_script is None:
        if ENGINES[request.engine].plan and source_of(request).kind not in ("export", "plan"):
            raise UserError(
                f"engine {request.engine} runs a TensorRT plan; build one on the GPU that will serve it (tbgen export "
                "tensorrt), or have a script written that does, with --build-script and the Triton release"
            )
        return None
    if not ENGINES[request.engine].plan:
        raise UserError(f"engine {request.engine} needs no plan; --build-script is for trt_fp16 and trt_fp32")
    if request.layout == PACKED:
        raise UserError("--layout packed is for ONNX Runtime, TensorRT does not read it: leave it out")
    if request.fixed_length:
        raise UserError("--fixed-length is for ONNX files; the lengths of a plan are those of its profiles")
    return release_named(request.build_script)
