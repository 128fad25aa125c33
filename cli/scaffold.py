"""`tbgen scaffold`: the command line of tbgen.generator.scaffold."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Write the models that serve a checkpoint into a model repository.")
@click.argument("name")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="Folder of a checkpoint (config.json, weights, tokenizer) or of its export. Default: the preset NAME.",
)
@click.option("--task", help="What the model does. Default: read from the checkpoint.")
@click.option("--label", "labels", multiple=True, help="Name of a class, in the order of the logits; repeatable.")
@click.option("--engine", default="onnx", show_default=True, help="How Triton runs the model.")
@click.option("--graph", default="both", show_default=True, help="ensemble, bls or both.")
@click.option("--fixed-length", type=click.IntRange(min=2), help="Pad every text to this many tokens.")
@click.option(
    "--vendor/--no-vendor",
    default=True,
    show_default=True,
    help="Put the tokenizers library into the models that use it, for servers without it.",
)
@click.option("--platform", help="Processor of the server, x86_64 or aarch64. Default: this machine's.")
@click.option(
    "-o",
    "--repository",
    type=click.Path(path_type=Path, file_okay=False),
    default="model_repository",
    show_default=True,
    help="Triton model repository to write into.",
)
@click.option("--force", is_flag=True, help="Replace models of the same name, edited ones too.")
def scaffold(
    name: str,
    source: Path | None,
    task: str | None,
    labels: tuple[str, ...],
    engine: str,
    graph: str,
    fixed_length: int | None,
    vendor: bool,
    platform: str | None,
    repository: Path,
    force: bool,
) -> None:
    """Write the models that serve a checkpoint under NAME into a Triton model repository.

    Without --source, NAME is a preset: `tbgen scaffold kcbert` serves the bundled sample checkpoint.
    """
    from rich.console import Console

    from tbgen.cli.show import repository_tree, status_line
    from tbgen.generator.presets import PRESETS
    from tbgen.generator.scaffold import Request
    from tbgen.generator.scaffold import scaffold as write

    console = Console(stderr=True, soft_wrap=True)
    if source is None and name in PRESETS:
        console.print(
            f"No --source: serving the bundled sample, {PRESETS[name].about}. Yours: --source DIR", style="yellow"
        )
    request = Request(name, source, task, engine, graph, labels, fixed_length, vendor, platform)
    with status_line(console) as on_progress:
        written = write(request, repository, force=force, on_progress=on_progress)
    if parity := written.exported.parity:
        console.print(
            f"Against PyTorch on {parity['texts']} sentences: logits differ by at most {parity['max_abs']:.2g} "
            f"(tolerance {parity['tolerance']:g})",
            highlight=False,
        )
    out = Console()
    out.print(repository_tree(written.repository, [folder.name for folder in written.models]))
    out.print(f"Serve it here: tbgen serve {written.repository}", highlight=False)
    out.print(
        "Put it into an existing Triton; the second line loads it where the server does not poll:", highlight=False
    )
    for line in drop_in_lines(name, written.repository, [folder.name for folder in written.models]):
        out.print(f"  {line}", highlight=False, soft_wrap=True)


def drop_in_lines(name: str, repository: Path, models: list[str]) -> list[str]:
    """The two shell lines that put written models into the repository of an existing Triton and load them."""
    return [
        f"cp -r {repository}/{name}_* /path/to/triton/model_repository/",
        f"for model in {' '.join(models)}; do curl -fX POST localhost:8000/v2/repository/models/$model/load; done",
    ]
