"""`tbgen export tensorrt`: an ONNX export, or a checkpoint, to a plan for the GPU of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.options import (
    FOLDER_PATH,
    OWN_SENTENCES,
    TOLERANCE,
    export_force,
    export_output,
    json_option,
    quiet_option,
    refuse_kept,
    text_options,
)
from tbgen.cli.request import request_options, source_from_options, source_options
from tbgen.cli.show import notes, status_line
from tbgen.cli.show_export import difference_text, report_exported, tensor_rows
from tbgen.export.tensorrt.versions import WORKSPACE

if TYPE_CHECKING:
    from tbgen.export.exported import Exported
    from tbgen.export.sources import Source
    from tbgen.generator.texts import TextFile


@click.command()
@source_options
@request_options("task", "labels")
@export_output
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="ROWSxTOKENS",
    help="A shape that the plan takes, such as 1x300 or 1-32x8-128; repeatable.  [default: by TensorRT's version]",
)
@click.option(
    "--workspace",
    default=WORKSPACE / (1 << 30),
    show_default=True,
    help="GiB of GPU memory that a layer may use.",
)
@click.option(
    "--timing-cache",
    type=FOLDER_PATH,
    help="Folder that keeps what was measured, a file for each TensorRT version and GPU.",
)
@click.option("--keep-fp32", multiple=True, help="Part of the names of layers to keep in FP32; repeatable.")
@click.option("--tolerance", type=TOLERANCE, help="Largest difference of a logit.  [default: 0.1 fp16, 0.001 fp32]")
@text_options(OWN_SENTENCES)
@export_force
@json_option
@quiet_option
def tensorrt(
    output: Path,
    precision: str,
    shapes: tuple[str, ...],
    workspace: float,
    text: TextFile | None,
    **options: Any,
) -> None:
    """Build a TensorRT plan for the GPU of this machine.

    Its tokenizer lies beside it, and it is compared with the ONNX file. A plan runs on the GPU model and with the
    TensorRT version that built it: build it where it will be served.
    """
    from tbgen.export.tensorrt.builder import gibibytes
    from tbgen.export.tensorrt.export import PlanGate, plan_from_export
    from tbgen.export.tensorrt.profiles import profile_from_text

    refuse_kept(options["keep_fp32"], precision)
    source, means = source_from_options(options)
    options |= {
        "profiles": [profile_from_text(shape) for shape in shapes] or None,
        "workspace": gibibytes(workspace),
        "gate": PlanGate(text.full_texts() if text else None, options.pop("tolerance")),
    }
    with status_line(notes()) as tell, _onnx_export(source, precision, means) as exported:
        built = plan_from_export(exported, output, precision=precision, on_progress=tell, **options)
    report_exported(built, _rows_of)


@contextmanager
def _onnx_export(source: Source, precision: str, means: dict[str, Any]) -> Iterator[Exported]:
    """The export that the source is, or the one made from it for the installed TensorRT. Raises UserError."""
    from tbgen.export.exported import exported_from_folder
    from tbgen.export.onnx.export import onnx_from_checkpoint
    from tbgen.export.ready.onnx_file import export_from_onnx
    from tbgen.export.scratch import scratch
    from tbgen.export.tensorrt.plan import tensorrt_package as package
    from tbgen.export.tensorrt.versions import traits_of

    kind, place = source.kind, Path(source.place)
    traits = traits_of(package().__version__)
    typed = precision if traits.typed else "fp32"
    if kind == "export":
        yield exported_from_folder(place)
        return
    with scratch() as folder:
        target = folder / "onnx"
        if kind == "onnx":
            words = {"rename": source.rename, "precision": typed, **means}
            yield export_from_onnx(place, source.companions, target, **words)
        else:
            yield onnx_from_checkpoint(source.checkpoint(**means), target, opset=traits.opset, precision=typed)


def _rows_of(built: Exported) -> list[tuple[str, str]]:
    """What the plan was built with and for, and how near it is to the ONNX file."""
    build = built.made.tensorrt
    assert build is not None
    return [
        (
            "built with",
            f"TensorRT {build.version} for {build.gpu} (compute capability {build.compute_capability})",
        ),
        *tensor_rows(built),
        ("shapes", ", ".join(map(str, build.profiles))),
        ("against the ONNX", difference_text(built)),
    ]
