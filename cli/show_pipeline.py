"""`tbgen show`: what a request to a model runs through, in the terminal and as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tbgen.cli.options import FILE_PATH, json_option, repository_option
from tbgen.cli.show import output, report

if TYPE_CHECKING:
    from tbgen.generator.pipeline import Pipeline


@click.command()
@click.argument("name")
@repository_option()
@click.option("--svg", type=FILE_PATH, help="File for a drawing of it.")
@json_option
def show(name: str, repository: Path, svg: Path | None) -> None:
    """NAME is a model of the repository, or the name given to scaffold, which means all its front models."""
    from tbgen.export.errors import UserError
    from tbgen.export.files import write_whole
    from tbgen.generator.local.models import LocalModels
    from tbgen.generator.pipeline import pipeline_of
    from tbgen.generator.pipeline_svg import svg_of_pipeline
    from tbgen.server.client.client import front_models

    with LocalModels(repository) as models:
        found = [pipeline_of(repository / model) for model in front_models(models, name)]
    if svg and len(found) > 1:
        names = ", ".join(each.model for each in found)
        raise UserError(f"--svg draws one model, and {name!r} means several: {names}")
    if svg:
        write_whole(svg, svg_of_pipeline(found[0]).encode("utf-8"))
    report([asdict(each) for each in found], lambda: _draw_all(found))


def _draw_all(pipelines: Sequence[Pipeline]) -> None:
    for each in pipelines:
        _draw(each)


def _draw(pipeline: Pipeline) -> None:
    """One pipeline as boxes."""
    from rich import box
    from rich.panel import Panel
    from rich.text import Text

    from tbgen.generator.pipeline import lines_of

    out = output()
    out.print(Text(" · ".join(filter(None, (pipeline.model, pipeline.task))), style="bold"))
    for tensors, each in zip(pipeline.tensors, (*pipeline.boxes, None), strict=True):
        for line in lines_of(tensors, out.width - 6) or [""]:
            out.print(Text(f"  │  {line}", style="dim"))
        out.print(Text("  ▼", style="dim"))
        if each:
            body = Text("\n".join(each.lines or ("engine",)))
            title, about = Text(each.model, style="bold"), Text(each.about, style="dim")
            out.print(
                Panel(body, box=box.ROUNDED, title=title, title_align="left", subtitle=about, subtitle_align="left")
            )
