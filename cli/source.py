"""The options that name a model's source, for the commands that take one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tbgen.export.sources import Source

OPTIONS = (
    click.option(
        "--source",
        help="Folder of a checkpoint or an export, name on the hub (owner/model), or file: a ready .onnx or .plan, "
        "or a state dict (.pt).",
    ),
    click.option("--revision", help="Branch, tag or commit of a name on the hub."),
    click.option(
        "--tokenizer",
        type=click.Path(path_type=Path),
        help="Folder of tokenizer and config.json, for a file. Default: the file's own.",
    ),
    click.option(
        "--base",
        help="Shape of a state dict's model: beomi/kcbert-base, beomi/kcbert-large, or a folder with a config.json.",
    ),
    click.option(
        "--label-count", type=click.IntRange(min=1), help="How many classes a state dict has, when they have no names."
    ),
    click.option(
        "--rename",
        multiple=True,
        metavar="OLD=NEW",
        help="A tensor of a ready ONNX file by its right name; repeatable.",
    ),
)
NAMES = ("revision", "tokenizer", "base", "label_count", "rename")


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --source and what goes with it; their values are the fields of tbgen.export.sources.Source."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def source_named(values: dict[str, Any]) -> Source:
    """The source that the options name. Raises UsageError where they name none."""
    from tbgen.export.sources import Source

    if values["source"] is None:
        raise click.UsageError("Missing option '--source'.")
    return Source(values.pop("source"), **values)
