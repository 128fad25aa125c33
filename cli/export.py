"""`tbgen export`: a checkpoint to an engine file, with the figures that prove the answers did not change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.export_tensorrt import tensorrt
from tbgen.cli.options import (
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
from tbgen.cli.suggested import completed, words_given
from tbgen.export.layout import LAYOUTS, OPSET, PACKED, PADDED

if TYPE_CHECKING:
    from tbgen.export.exported import Exported
    from tbgen.export.sources import Source
    from tbgen.generator.texts import TextFile


@click.group()
def export() -> None:  # its help is the table's
    pass


export.add_command(tensorrt)


@export.command()
@source_options
@export_output
@request_options("task", "labels")
@click.option("--opset", type=int, help=f"ONNX operator set.  [default: {OPSET}, or what the release reads]")
@click.option("--triton", "release", help="Release of the server that will read the file, such as 24.10.")
@click.option("--fixed-length", type=int, help="Fix the sequence axis to this many tokens; the batch stays dynamic.")
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default=PADDED,
    show_default=True,
    help="packed: flat inputs, no padding computed; what `tbgen scaffold` makes where the model has it.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="[default: fp32, or as a ready ONNX file is]",
)
@click.option(
    "--optimize",
    is_flag=True,
    help="Fuse layers to operators that only ONNX Runtime can read, with --layout packed only on GPUs.",
)
@click.option("--keep-fp32", multiple=True, help="Beginning of the names of nodes that stay in FP32; repeatable.")
@text_options(OWN_SENTENCES)
@click.option("--tolerance", type=TOLERANCE, help="Largest difference of a logit.  [default: the precision's]")
@export_force
@json_option
@quiet_option
def onnx(
    text: TextFile | None,
    opset: int | None,
    release: str | None,
    **options: Any,
) -> None:
    """Write a checkpoint as an ONNX file, beside its tokenizer, and compare it with PyTorch.

    A ready ONNX file is read, tried, given the engine's tensor names, and converted if asked.
    """
    refuse_kept(options["keep_fp32"], options["precision"])
    given = words_given("precision", "layout", "optimize", "fixed_length", "keep_fp32")
    named, means = source_from_options(options)
    options |= {"texts": text.full_texts() if text else None}
    with status_line(notes()) as tell, completed(given):
        exported = _exported_from(named, means, release, opset, options | {"progress": tell})
    report_exported(exported, _rows_of)


def _exported_from(
    source: Source, means: dict[str, Any], release: str | None, opset: int | None, options: dict[str, Any]
) -> Exported:
    """Export a checkpoint, or take a ready ONNX file in. Raises UserError."""
    from tbgen.export.errors import UserError
    from tbgen.export.onnx.export import onnx_from_checkpoint
    from tbgen.export.ready.onnx_file import export_from_onnx

    output, versions = options.pop("output"), _versions_for(release, opset)
    if source.kind == "onnx":
        if opset:
            raise UserError("--opset is for a checkpoint; a ready ONNX file keeps its own")
        if options.pop("layout") == PACKED:
            raise UserError("--layout packed is for a checkpoint; a ready ONNX file is taken as it is")
        del versions["opset"]
        place, rename = Path(source.place), source.rename
        return export_from_onnx(place, source.companions, output, rename=rename, **means, **versions, **options)
    options["precision"] = options["precision"] or "fp32"
    return onnx_from_checkpoint(source.checkpoint(**means), output, **versions, **options)


def _versions_for(release: str | None, opset: int | None) -> dict[str, Any]:
    """The opset to write, and the newest opset and IR version that a release of Triton reads."""
    from tbgen.generator.releases import release_named

    if release is None:
        return {"opset": opset or OPSET}
    newest = release_named(release)
    return {"opset": opset or min(OPSET, newest.opset), "newest_opset": newest.opset, "newest_ir": newest.ir}


def _rows_of(exported: Exported) -> list[tuple[str, str]]:
    """What the file is for, what it takes and gives, and how its answers were proved."""
    from tbgen.export.parity.agreement import agreement_text

    made, parity = exported.made, exported.parity
    compared = (
        [
            (
                f"against {parity.get('against', 'PyTorch')}",
                difference_text(exported)
                + (", of its twin in standard operators: there is no GPU here" if made.twin else ""),
            ),
            *([("answers", agreement_text(parity["answers"]))] if parity.get("answers") else []),
        ]
        if parity
        else [
            (
                "not compared",
                "with PyTorch: it is a ready file; scaffold it, then: tbgen verify NAME --source CHECKPOINT",
            )
        ]
    )
    if "not_asked" in parity:
        compared += [("not compared", parity["not_asked"])]
    return [
        ("task", exported.task + (f": {', '.join(exported.labels)}" if exported.labels else "")),
        *([("taken for", made.chosen)] if made.chosen else []),
        *([("weights", f"{made.taken_off!r} was taken off their names")] if made.taken_off else []),
        *tensor_rows(exported),
        ("opset", f"{made.opset}, {made.precision}" + (", fused for ONNX Runtime" if made.optimized else "")),
        ("longest text", f"{exported.fixed_length or exported.max_length} tokens"),
        *compared,
    ]
