"""`tbgen init`: writes a recipe, by questions on a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tbgen.cli.source import NAMES, source_options

AS_GIVEN = ("options", "long_text", "pre", "post", "steps", "layout", "cache", "warmup")


@click.command(short_help="Write a recipe that scaffold reads, by questions on a terminal.")
@click.argument("name", required=False)
@source_options
@click.option("--task", help="What the model does. Default: read from the checkpoint.")
@click.option("--label", "labels", multiple=True, help="Name of a class, in the order of the logits; repeatable.")
@click.option("--engine", "engines", multiple=True, help="How Triton runs the model; repeatable. Default: onnx.")
@click.option(
    "--graph", help="ensemble, bls, single, both (ensemble and bls), or auto: the engine's best. Default: both."
)
@click.option("--set", "options", multiple=True, help="A setting of the task, KEY=VALUE; repeatable.")
@click.option("--long-text", help="truncate, reject or windows: of texts longer than the model. Default: truncate.")
@click.option("--pre", multiple=True, help="A step before the tokenizer: 'FILE.py:Class KEY=VALUE ...'; repeatable.")
@click.option("--post", multiple=True, help="A step behind the task's head, written likewise; repeatable.")
@click.option("--steps", default="copy", help="copy or backend: where the code of the steps is. Default: copy.")
@click.option("--fixed-length", type=click.IntRange(min=0), help="Pad every text to this many tokens; 0: no.")
@click.option("--layout", default="auto", help="packed, padded or auto: of the exported ONNX file. Default: auto.")
@click.option("--vendor/--no-vendor", default=True, help="Whether the tokenizers library comes along. Default: yes.")
@click.option("--cache/--no-cache", default=False, help="Whether Triton keeps the answers. Default: no.")
@click.option("--warmup/--no-warmup", default=False, help="Whether Triton warms the models up. Default: no.")
@click.option("--platform", help="Processor of the server, x86_64 or aarch64. Default: this machine's.")
@click.option("--repository", type=click.Path(path_type=Path), help="Model repository to write into.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default="tbgen.toml", show_default=True
)
@click.option("--force", is_flag=True, help="Replace a recipe that is there.")
def init(output: Path, force: bool, **given: Any) -> None:
    """Write the recipe tbgen.toml: what to scaffold, in a file to commit.

    `tbgen scaffold` in its folder then writes the same repository on any machine. On a terminal it asks for what the
    options leave open.
    """
    from dataclasses import replace

    from tbgen.export.errors import UserError
    from tbgen.generator.recipe import Recipe, text_from_recipe, weights_of
    from tbgen.generator.request import export_task, source_of
    from tbgen.generator.scaffold import Request, check_names
    from tbgen.generator.steps.vendor import this_platform

    if output.exists() and not force:
        raise UserError(f"{str(output)!r} exists; --force replaces it, -o writes another")
    answers = ask(given) if sys.stdin.isatty() else given
    if not answers["name"]:
        raise click.UsageError("name the models")
    request = Request(
        answers["name"],
        Path(answers["source"]) if answers["source"] else None,
        answers["task"],
        graph=answers["graph"] or "both",
        labels=answers["labels"],
        fixed_length=answers["fixed_length"] or None,
        vendor=answers["vendor"],
        platform=answers["platform"] or this_platform(),
        **{key: answers[key] for key in (*AS_GIVEN, *NAMES)},
    )
    requests = tuple(replace(request, engine=engine) for engine in answers["engines"] or ["onnx"])
    for each in requests:
        check_names(each)
    requests = tuple(replace(each, weights=weights_of(each)) for each in requests)
    recipe = Recipe(requests, answers["repository"] or output.parent / "model_repository")
    told = source_of(requests[0]).explanation(task=export_task(requests[0]), labels=requests[0].labels or None)
    output.write_text(text_from_recipe(recipe, output.parent), encoding="utf-8")
    if told:
        click.echo(f"Chosen: {told}", err=True)
    click.echo(
        f"Written: {output}. Next: tbgen scaffold" + ("" if output.name == "tbgen.toml" else f" --recipe {output}")
    )


def ask(given: dict[str, Any]) -> dict[str, Any]:
    """The given options, with what they leave open asked for."""
    from tbgen.generator.engines import AUTO, GRAPHS
    from tbgen.generator.presets import PRESETS

    name = given["name"] or click.prompt("Name of the models", default=next(iter(PRESETS)))
    source = given["source"] or ask_source(None if name not in PRESETS else "")
    graph = given["graph"] or click.prompt("Graph", type=click.Choice([*GRAPHS, AUTO]), default="both")
    length = given["fixed_length"]
    if length is None:
        length = click.prompt("Pad every text to a fixed number of tokens (0: no)", type=click.IntRange(0), default=0)
    return given | {"name": name, "source": source, "graph": graph, "fixed_length": length}


def ask_source(default: str | None) -> str | None:
    """The folder of a checkpoint, or a file; None for the bundled sample, which only a preset's name stands for."""
    words = "Folder of the checkpoint" + ("" if default is None else " (empty: the bundled sample)")
    while answer := click.prompt(words, default=default, show_default=False):
        if Path(answer).exists():
            return str(answer)
        click.echo(f"There is no folder {answer!r}.")
    return None
