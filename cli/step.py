"""`tbgen step`: write, list and try the steps that stand around an engine."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tbgen.cli.options import json_option
from tbgen.cli.show import has_flag, output, print_json, say


@click.group()
def step() -> None:
    """A step is one Python class in one file, run before the tokenizer or behind the task's head."""


@step.command()
@click.argument("step_name", metavar="NAME")
@click.option("--pre", "kind", flag_value="pre", default="pre", help="A step before the tokenizer (the default).")
@click.option("--post", "kind", flag_value="post", help="A step behind the task's head.")
@json_option
def new(step_name: str, kind: str) -> None:
    """Write a step that works, NAME.py, and its test, test_NAME.py."""
    from tbgen.generator.steps.new_step import new_step
    from tbgen.generator.steps.plugins import classes_of

    file, test = new_step(step_name, kind, Path())
    place = f"{file}:{next(iter(classes_of(file)))}"
    if has_flag("json"):
        print_json({"step": place, "written": [file, test]})
        return
    say(f"{file}\n{test}\n")
    word = shlex.quote(place)
    say(f"Try it:    tbgen step test {word}\nServe it:  tbgen scaffold kcbert --{kind} {word}")


@step.command("list")
@json_option
def list_steps() -> None:
    """Show the steps there are: built-in, of installed packages, in this folder's Python files."""
    from rich.table import Table

    from tbgen.generator.steps.catalogue import steps_here

    found = steps_here(Path(), lambda error: say(f"Left out: {error.message}", note=True))
    if has_flag("json"):
        print_json([{"step": row.place, "from": row.origin, "about": row.about} for row in found])
        return
    table = Table("step", "from", "what it does", box=None)
    for row in found:
        table.add_row(row.place, row.origin, row.about)
    output().print(table)


@step.command()
@click.argument("place", metavar="FILE[:CLASS]")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@json_option
def test(place: str, settings: tuple[str, ...]) -> None:
    """Run a step on example arrays, with the checks that scaffold will make."""
    import shlex

    from rich.table import Table

    from tbgen.generator.steps.plugins import extra_imports, step_from_option
    from tbgen.generator.steps.trial import try_step

    chosen = step_from_option(shlex.join([place, *settings]))
    trial = try_step(chosen)
    imports = extra_imports(Path(chosen.file))
    if has_flag("json"):
        sides = {
            side: {name: array[:2].tolist() for name, array in tensors.items()}
            for side, tensors in (("takes", trial.given), ("gives", trial.answer))
        }
        print_json({"step": chosen.name, **sides, "imports": imports})
        return
    table = Table("tensor", "", "shape", "first items", box=None)
    for side, tensors in (("takes", trial.given), ("gives", trial.answer)):
        for name, array in tensors.items():
            table.add_row(name, side, str(list(array.shape)), _shown(array[:2].tolist()))
    console = output()
    console.print(table)
    if imports:
        console.print(f"It imports {', '.join(imports)}: they must be installed where Triton runs.", style="yellow")
    console.print(f"{chosen.name} keeps the contract.", style="green")


def _shown(value: object) -> str:
    """A value, cut to a line."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
