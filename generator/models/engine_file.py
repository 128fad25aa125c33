"""The engine file behind a request: an export as it is, a ready file taken in, or a checkpoint exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, exported_from_folder
from tbgen.export.layout import PACKED, PADDED
from tbgen.export.onnx.fusion import FUSED
from tbgen.export.onnx.packed import can_pack
from tbgen.export.ready.onnx_file import export_from_onnx
from tbgen.export.ready.plan import export_from_plan_file
from tbgen.export.sources import Source
from tbgen.generator.graphs import AUTO
from tbgen.generator.request import Request
from tbgen.generator.resolve import ResolvedRequest

Progress = Callable[[str], None]  # is told what is done now


def expected_engine(resolved: ResolvedRequest, folder: Path) -> Exported | None:
    """What the export of a checkpoint will be, its file in `folder` with tensors alone; None for other sources.

    Raises UserError for what does not fit the checkpoint.
    """
    if resolved.checkpoint is None:
        return None
    folder.mkdir()
    engine = resolved.engine
    expected = engine.expect(resolved.checkpoint, folder, **_options_of(resolved, resolved.checkpoint))
    return _to_build(resolved, engine.mark(expected))


def export_engine(resolved: ResolvedRequest, folder: Path, on_progress: Progress) -> Exported:
    """The export that a request's source is, or the one made from it in `folder`. Raises UserError."""
    source = resolved.source
    if isinstance(source, Exported):
        return source
    return _to_build(resolved, _as_asked(_MAKERS[source.kind](resolved, source, folder, on_progress), resolved.request))


def _to_build(resolved: ResolvedRequest, exported: Exported) -> Exported:
    """An export as that of the engine's file that will be built from it, if one will be. Raises UserError."""
    engine, release = resolved.engine, resolved.release
    return engine.builder.planned(exported, engine, release) if release and engine.builder else exported


def _export_as_it_is(resolved: ResolvedRequest, source: Source, *_: Any) -> Exported:
    """An export as it is. Raises UserError when it has not the layout that is asked for."""
    exported, asked = exported_from_folder(Path(source.place)), resolved.request.layout
    made = exported.made.layout
    if asked not in (AUTO, made):
        raise UserError(
            f"the export in {str(exported.folder)!r} is {made}; export it anew with --layout {asked}, or leave "
            "--layout out here"
        )
    return exported


def _refuse_packed(request: Request) -> None:
    """Raise UserError where a layout is asked for that no ready file has."""
    if request.layout == PACKED:
        raise UserError("--layout packed is for a checkpoint; a ready file is served as it is")


def _ready_onnx(resolved: ResolvedRequest, source: Source, folder: Path, on_progress: Progress) -> Exported:
    """A ready ONNX file, taken in."""
    _refuse_packed(resolved.request)
    on_progress(f"Reading {Path(source.place).name}")
    return export_from_onnx(
        Path(source.place),
        source.companions,
        folder,
        rename=source.rename,
        fixed_length=resolved.request.fixed_length,
        precision=_onnx_options(resolved)["precision"],
        **resolved.meaning,
    )


def _ready_plan(resolved: ResolvedRequest, source: Source, folder: Path, on_progress: Progress) -> Exported:
    """A ready plan, taken in."""
    _refuse_packed(resolved.request)
    on_progress(f"Reading {Path(source.place).name}")
    precision = resolved.engine.precision
    return export_from_plan_file(Path(source.place), source.companions, folder, precision=precision, **resolved.meaning)


def _exported_checkpoint(resolved: ResolvedRequest, source: Source, folder: Path, on_progress: Progress) -> Exported:
    """A checkpoint, exported for the engine."""
    checkpoint = resolved.checkpoint or source.checkpoint(**resolved.meaning)
    on_progress(f"Exporting {Path(source.place).name} to ONNX")
    engine, options = resolved.engine, _options_of(resolved, checkpoint) | _onnx_options(resolved)
    return engine.mark(engine.export(checkpoint, folder, progress=on_progress, **options))


def _options_of(resolved: ResolvedRequest, checkpoint: Checkpoint) -> dict[str, Any]:
    """What of the ONNX file follows from the request."""
    layout = _layout_of(resolved, checkpoint)
    known = layout == PACKED or checkpoint.config["model_type"] in FUSED
    fused = resolved.engine.optimize and known
    return {
        "fixed_length": resolved.request.fixed_length,
        "precision": _onnx_options(resolved)["precision"],
        "layout": layout,
        **({"optimize": True} if fused else {}),
    }


def _layout_of(resolved: ResolvedRequest, checkpoint: Checkpoint) -> str:
    """The layout that is asked for, or the engine's where the checkpoint has it and no length is fixed."""
    request = resolved.request
    if request.layout != AUTO:
        return request.layout
    return resolved.engine.layouts[0] if can_pack(checkpoint) and request.fixed_length is None else PADDED


# How the export of each kind of source is had.
_MAKERS: dict[str, Callable[..., Exported]] = {
    "export": _export_as_it_is,
    "onnx": _ready_onnx,
    "plan": _ready_plan,
    "checkpoint": _exported_checkpoint,
    "state": _exported_checkpoint,
}


def _onnx_options(resolved: ResolvedRequest) -> dict[str, Any]:
    """Precision, and opset where it matters, of the ONNX file that a request's engine runs, or is built from."""
    engine, release = resolved.engine, resolved.release
    return engine.builder.onnx(engine, release) if release and engine.builder else {"precision": engine.precision}


def _as_asked(exported: Exported, request: Request) -> Exported:
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
