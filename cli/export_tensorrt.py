"""`tbgen export tensorrt`: an ONNX export, or a checkpoint, to a plan for the GPU of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from tbgen.cli.request import source_from_options, source_options

if TYPE_CHECKING:
    from rich.console import Console

    from tbgen.export.exported import Exported
    from tbgen.export.sources import Source
    from tbgen.export.tensorrt.builder import Progress


@click.command(short_help="Build a TensorRT plan for the GPU of this machine.")
@source_options
@click.option("--task", help="What the model does. Default: read from the checkpoint.")
@click.option("--label", "labels", multiple=True, help="Name of a class, in the order of the logits; repeatable.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="ROWSxTOKENS",
    help="A shape that the plan takes, such as 1x300 or 1-32x8-128; repeatable.  [default: by TensorRT's version]",
)
@click.option("--workspace", default=4.0, show_default=True, help="GiB of GPU memory that a layer may use.")
@click.option(
    "--timing-cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that keeps what was measured, a file for each TensorRT version and GPU.",
)
@click.option("--keep-fp32", multiple=True, help="Part of the names of layers to keep in FP32; repeatable.")
@click.option("--tolerance", type=float, help="Largest difference of a logit.  [default: 0.1 fp16, 0.001 fp32]")
@click.option("--text", type=click.File(encoding="utf-8"), help="File of sentences to compare on, one a line.")
@click.option("--force", is_flag=True, help="Replace an earlier export.")
def tensorrt(
    output: Path,
    precision: str,
    shapes: tuple[str, ...],
    workspace: float,
    timing_cache: Path | None,
    keep_fp32: tuple[str, ...],
    tolerance: float | None,
    text: TextIO | None,
    force: bool,
    task: str | None,
    labels: tuple[str, ...],
    **source: Any,
) -> None:
    """Build a TensorRT plan beside its tokenizer, and compare it with the ONNX file.

    A plan runs on the GPU model and with the TensorRT version that built it: build it where it will be served.
    """
    from rich.console import Console

    from tbgen.export.tasks.table import exported_as
    from tbgen.export.tensorrt.builder import gibibytes
    from tbgen.export.tensorrt.export import plan_from_export
    from tbgen.export.tensorrt.profiles import profile_from_text

    console = Console(highlight=False, soft_wrap=True)
    profiles = [profile_from_text(shape) for shape in shapes]
    named = source_from_options(source)
    meaning = {"task": exported_as(task), "labels": labels or None}
    with progress_bar(console) as on_progress, onnx_export(named, precision, meaning) as exported:
        built = plan_from_export(
            exported,
            output,
            precision=precision,
            profiles=profiles or None,
            workspace=gibibytes(workspace),
            timing_cache=timing_cache,
            keep_fp32=keep_fp32,
            texts=[line.rstrip("\n") for line in text] if text else None,
            tolerance=tolerance,
            force=force,
            on_progress=on_progress,
        )
    for name, value in report(built):
        console.print(f"{name:<17}{value}", markup=False)


@contextmanager
def onnx_export(source: Source, precision: str, meaning: dict[str, Any]) -> Iterator[Exported]:
    """The export that the source is, or the one made from it for the installed TensorRT. Raises UserError."""
    import tempfile

    from tbgen.export.exported import exported_from_folder
    from tbgen.export.onnx.export import onnx_from_checkpoint
    from tbgen.export.ready.onnx_file import export_from_onnx
    from tbgen.export.tensorrt.plan import tensorrt as package
    from tbgen.export.tensorrt.versions import traits_of

    kind, place = source.kind, Path(source.place)
    traits = traits_of(package().__version__)
    typed = precision if traits.typed else "fp32"
    if kind == "export":
        yield exported_from_folder(place)
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "onnx")
        if kind == "onnx":
            words = {"rename": source.rename, "precision": typed, **meaning}
            yield export_from_onnx(place, source.companions, target, **words)
        else:
            yield onnx_from_checkpoint(source.checkpoint(**meaning), target, opset=traits.opset, precision=typed)


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A bar for what TensorRT tells of, a spinner for the rest; on a pipe, a line for each text."""
    if not console.is_terminal:
        said: set[str] = set()

        def say(text: str, share: float | None) -> None:  # noqa: ARG001
            if text not in said:
                said.add(text)
                console.print(text)

        yield say
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), transient=True
    ) as bars:
        bar = bars.add_task("Starting", total=None)
        yield lambda text, share: bars.update(
            bar, description=text, total=None if share is None else 1, completed=share
        )


def report(built: Exported) -> list[tuple[str, str]]:
    """What was written, as rows of a name and a value."""
    from rich.filesize import decimal

    build, parity = built.made.tensorrt, built.parity
    assert build is not None
    tensors = {**built.inputs, **built.outputs}
    return [
        ("written", f"{built.model} ({decimal(built.model.stat().st_size)})"),
        (
            "built with",
            f"TensorRT {build.version} for {build.gpu} (compute capability {build.compute_capability})",
        ),
        *((name, f"{spec.dtype} [{', '.join(map(str, spec.shape))}]") for name, spec in tensors.items()),
        ("shapes", ", ".join(map(str, build.profiles))),
        (
            "against the ONNX",
            f"largest difference {parity['max_abs']:.1e} in {parity['texts']} texts "
            f"(tolerance {parity['tolerance']:g}), {parity['flips']} of {parity['decisions']} decisions differ",
        ),
    ]
