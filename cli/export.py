"""`tbgen export`: a checkpoint to an engine file, with the figures that prove the answers did not change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.export_tensorrt import tensorrt

if TYPE_CHECKING:
    from tbgen.export.checkpoint import Checkpoint
    from tbgen.export.exported import Exported

OPSET = 17
SOURCE = ("source", "revision", "state_dict", "base", "label_count", "task", "labels")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def export() -> None:
    """Turn a checkpoint into an engine file, with proof that answers did not change."""


export.add_command(tensorrt)


@export.command()
@click.option("--source", required=True, help="Folder of the checkpoint, or a name on the hub (owner/model).")
@click.option("--revision", help="Branch, tag or commit of a name on the hub.")
@click.option(
    "--state-dict",
    type=click.Path(path_type=Path),
    help="File of torch.save(model.state_dict(), FILE); --source is the tokenizer's folder then.",
)
@click.option(
    "--base",
    help="Shape of a state dict's model: beomi/kcbert-base, beomi/kcbert-large, or a folder with a config.json.",
)
@click.option(
    "--label-count", type=click.IntRange(min=1), help="How many classes a state dict has, when they have no names."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--task", help="What the checkpoint is for.  [default: as its config.json says]")
@click.option("--label", "labels", multiple=True, help="A class name, in the order of the logits; once per class.")
@click.option("--opset", type=int, help="ONNX operator set.  [default: 17, or what the release reads]")
@click.option("--triton", "release", help="Release of the server that will read the file, such as 24.10.")
@click.option("--fixed-length", type=int, help="Fix the sequence axis to this many tokens; the batch stays dynamic.")
@click.option(
    "--layout",
    type=click.Choice(["padded", "packed"]),
    default="padded",
    show_default=True,
    help="packed: flat inputs, no padding computed; what `tbgen scaffold` makes where the model has it.",
)
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), default="fp32", show_default=True)
@click.option("--optimize", is_flag=True, help="Fuse layers to operators that only ONNX Runtime can read.")
@click.option("--keep-fp32", multiple=True, help="Beginning of the names of nodes that stay in FP32; repeatable.")
@click.option("--text", type=click.Path(path_type=Path), help="File of texts to compare on, one a line.")
@click.option("--tolerance", type=float, help="Largest difference of a logit.  [default: the precision's]")
@click.option("--force", is_flag=True, help="Replace an existing folder.")
def onnx(output: Path, text: Path | None, opset: int | None, release: str | None, **options: Any) -> None:
    """Write a checkpoint as an ONNX file, beside its tokenizer, and compare it with PyTorch."""
    from rich.console import Console

    from tbgen.export.onnx import onnx_from_checkpoint
    from tbgen.export.sentences import texts_from_file

    console = Console(highlight=False)
    texts = texts_from_file(text) if text else None
    options |= versions_for(release, opset)
    checkpoint = checkpoint_named(**{name: options.pop(name) for name in SOURCE})
    with console.status("loading") as status:
        exported = onnx_from_checkpoint(checkpoint, output, texts=texts, progress=status.update, **options)
    for name, value in report(exported):
        console.print(f"{name:<17}{value}", soft_wrap=True, markup=False)


def versions_for(release: str | None, opset: int | None) -> dict[str, int]:
    """The opset to write, and the newest opset and IR version that a release of Triton reads."""
    from tbgen.generator.releases import release_named

    if release is None:
        return {"opset": opset or OPSET}
    newest = release_named(release)
    return {"opset": opset or min(OPSET, newest.opset), "newest_opset": newest.opset, "newest_ir": newest.ir}


def checkpoint_named(
    source: str,
    revision: str | None,
    state_dict: Path | None,
    base: str | None,
    label_count: int | None,
    task: str | None,
    labels: tuple[str, ...],
) -> Checkpoint:
    """The checkpoint that the options name. Raises UsageError for options that do not go together."""
    from tbgen.export.sources import checkpoint_from_source, checkpoint_from_state

    if state_dict is None:
        if base or label_count:
            raise click.UsageError("--base and --label-count go with --state-dict")
        return checkpoint_from_source(source, revision=revision, task=task, labels=labels or None)
    if revision or not base:
        raise click.UsageError("--state-dict goes with --base, and not with --revision")
    return checkpoint_from_state(
        Path(source), state_dict, base=base, label_count=label_count, task=task, labels=labels or None
    )


def report(exported: Exported) -> list[tuple[str, str]]:
    """What was written, as rows of a name and a value."""
    from rich.filesize import decimal

    made, parity = exported.made, exported.parity
    tensors = {**exported.inputs, **exported.outputs}
    return [
        ("written", f"{exported.model} ({decimal(sum(file.stat().st_size for file in exported.files))})"),
        ("task", exported.task + (f": {', '.join(exported.labels)}" if exported.labels else "")),
        *((name, f"{spec.dtype} [{', '.join(map(str, spec.shape))}]") for name, spec in tensors.items()),
        ("opset", f"{made['opset']}, {made['precision']}" + (", fused for ONNX Runtime" if made["optimized"] else "")),
        ("longest text", f"{exported.fixed_length or exported.max_length} tokens"),
        (
            "against PyTorch",
            f"largest difference {parity['max_abs']:.1e} in {parity['texts']} texts "
            f"(tolerance {parity['tolerance']:.0e}), "
            f"{parity['flips']} of {parity['decisions']} decisions differ",
        ),
    ]
