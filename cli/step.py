"""`tbgen step`: write, list and try the steps that stand around an engine."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(short_help="Write, list and try steps of your own.")
def step() -> None:
    """Steps: one Python class in one file, run before the tokenizer or behind the task's head."""


@step.command(short_help="Write a step file and its test.")
@click.argument("name")
@click.option("--pre", "kind", flag_value="pre", default="pre", help="A step before the tokenizer (the default).")
@click.option("--post", "kind", flag_value="post", help="A step behind the task's head.")
def new(name: str, kind: str) -> None:
    """Write NAME.py, a step that works, and test_NAME.py, into this folder."""
    from tbgen.generator.steps.new_step import new_step
    from tbgen.generator.steps.plugins import classes_of

    file, test = new_step(name, kind, Path())
    place = f"{file}:{next(iter(classes_of(file)))}"
    click.echo(f"{file}\n{test}\n")
    click.echo(f"Try it:    tbgen step test {place}\nServe it:  tbgen scaffold kcbert --{kind} {place}")


@step.command("list", short_help="Show the steps there are.")
def list_steps() -> None:
    """Show built-in steps, those of installed packages, and those in this folder's Python files."""
    from rich.console import Console
    from rich.table import Table

    from tbgen.generator.steps.catalogue import steps_here

    table = Table("step", "from", "what it does", box=None)
    for row in steps_here(Path()):
        table.add_row(row.place, row.origin, row.about)
    Console().print(table)


@step.command(short_help="Run a step on example arrays.")
@click.argument("place", metavar="FILE[:CLASS]")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
def test(place: str, settings: tuple[str, ...]) -> None:
    """Run a step on example arrays, with the checks that scaffold will make; print what it took and gave."""
    import shlex

    from rich.console import Console
    from rich.table import Table

    from tbgen.generator.steps.plugins import extra_imports, step_from_option
    from tbgen.generator.steps.trial import tried

    chosen = step_from_option(shlex.join([place, *settings]))
    trial = tried(chosen)
    table = Table("tensor", "", "shape", "first items", box=None)
    for side, tensors in (("takes", trial.given), ("gives", trial.answer)):
        for name, array in tensors.items():
            table.add_row(name, side, str(list(array.shape)), shown(array[:2].tolist()))
    console = Console()
    console.print(table)
    if imports := extra_imports(Path(chosen.file)):
        console.print(f"It imports {', '.join(imports)}: they must be installed where Triton runs.", style="yellow")
    console.print(f"{chosen.name} keeps the contract.", style="green")


def shown(value: object) -> str:
    """A value, cut to a line."""
    from rich.markup import escape

    text = str(value)
    return escape(text if len(text) <= 60 else f"{text[:57]}...")
