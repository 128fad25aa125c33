"""Every command on every page: run here, run elsewhere, or marked with why not; `tbgen` takes each line of its own.

The comment before a block says so: `<!-- run -->` (here, where the sample's model repository lies),
`<!-- run at length, as WHY -->` (by `make test-long`), `<!-- run by tests/PATH.py -->`, which names the page and knows
the commands, or `<!-- not run: WHY -->`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from tbgen.cli.main import main
from tbgen.cli.request import StepWords
from tests.docs.pages import PAGES, ROOT, SHELLS, Block, blocks, programs, spans
from tests.docs.runners import unknown_commands

BLOCKS = [block for page in PAGES for block in blocks(page) if block.language in SHELLS]
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
PLACEHOLDER = re.compile(r"[A-Z]|\.\.\.|\|")
TBGEN = f'#!/bin/sh\nexec {sys.executable} -m tbgen.cli.main "$@"\n'


def refusal(arguments: list[str], *, whole: bool = True) -> str:
    """Why the program would not take these arguments, "" if it would; whole: nothing is missing, or too much."""
    command: click.Command = main
    context = click.Context(main, info_name="tbgen", **main.context_settings)  # a command keeps its help option
    words = list(arguments)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        child = command.get_command(context, name)
        if child is None:
            return "" if not whole and PLACEHOLDER.search(name) else f"no command {name!r}"
        command = child
        context = click.Context(child, info_name=name, parent=context, **child.context_settings)
    try:
        words = command.joined(words) if isinstance(command, StepWords) else words
        values, rest, _ = command.make_parser(context).parse_args(words)
    except click.BadOptionUsage as error:  # its value is missing
        return error.format_message() if whole else ""
    except click.UsageError as error:
        return error.format_message()
    if whole and rest and not context.allow_extra_args:
        return f"too many arguments: {rest}"
    return next(filter(None, (_fault(each, values, context, whole) for each in command.params)), "")


def _fault(parameter: click.Parameter, values: Mapping[str, object], context: click.Context, whole: bool) -> str:
    """Why a parameter's value will not do, "" if it will; files and folders are not looked up."""
    value = values.get(str(parameter.name))
    if value is None or parameter.value_is_missing(value):
        return f"{parameter.name} is missing" if whole and parameter.required else ""
    if isinstance(parameter.type, click.Path | click.File) or PLACEHOLDER.search(str(value)):
        return ""
    try:
        parameter.type_cast_value(context, value)
    except click.UsageError as error:
        return error.format_message()
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is(page: Path) -> None:
    assert [str(block) for block in blocks(page) if not block.language] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_command_stands_in_a_block_that_nobody_is_said_to_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        text = text.replace(block.body, "")
    assert re.findall(r"^ {4,}(?:\$ )?(?:tbgen|curl|make|pip|python3?|docker|kubectl) .*", text, re.MULTILINE) == []


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_program_takes_every_command(block: Block) -> None:
    assert block.commands(), "no command in it: a block of text"
    for command in block.commands():
        for program, *arguments in programs(command):
            if program == "tbgen":
                assert refusal(arguments) == "", command
            elif program == "make":
                assert {*arguments} <= TARGETS, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_program_takes_what_sentences_name(page: Path) -> None:
    refused = {span: refusal(shlex.split(span)[1:], whole=False) for span in spans(page)}
    assert {span: why for span, why in refused.items() if why} == {}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_it_is_said_who_runs_it_or_why_nobody_does(block: Block) -> None:
    if by := re.fullmatch(r"run by (\S+\.py)", block.mark):
        assert block.page.name in (ROOT / by[1]).read_text(encoding="utf-8"), f"{by[1]} does not name the page"
        assert unknown_commands(block, ROOT / by[1]) == []
    else:
        assert re.fullmatch(r"run|run at length, as \w.*|not run: \w.*", block.mark), block.mark


@pytest.fixture
def folder(sample_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the sample's model repository, in a home of its own, in which `tbgen` is found."""
    shutil.copytree(sample_repository, tmp_path / "model_repository")
    (tmp_path / ".config" / "fish" / "completions").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tbgen").write_text(TBGEN, encoding="utf-8")
    (tmp_path / "bin" / "tbgen").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, marks=pytest.mark.long if "at length" in block.mark else ())
        for block in BLOCKS
        if re.match("run(,| at|$)", block.mark)
    ],
    ids=str,
)
def test_it_runs(block: Block, folder: Path) -> None:
    if "--source checkpoints/" in block.body:
        subprocess.run([sys.executable, str(ROOT / "examples" / "nine_tasks.py")], cwd=folder, check=True)
    lines = "\n".join(block.commands())
    done = subprocess.run(["bash", "-ec", lines], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("tbgen scaffold mine --source DIR --graph both", ""),
        ("tbgen serve models --model-control-mode=explicit", ""),
        ("tbgen env pack -p regex", "models is missing"),
        ("tbgen deploy copy REPO TARGET MORE", "too many arguments: ['MORE']"),
        ("tbgen scafold mine", "no command 'scafold'"),
        ("tbgen bench kcbert --duration long", "Invalid value for '--duration': 'long' is not a valid float range."),
        ("tbgen check --livid", "No such option"),
    ],
)
def test_what_the_program_would_not_take_is_found(line: str, why: str) -> None:
    ((_, *arguments),) = programs(line)
    assert refusal(arguments).startswith(why) if why else not refusal(arguments)


def test_a_command_of_which_its_test_knows_nothing_is_found(tmp_path: Path) -> None:
    body = "tbgen deploy haproxy\ncurl localhost:8080/models/kcbert\npython client.py\npip install x\n"
    block = Block(ROOT / "README.md", 1, "bash", "", body)
    test = tmp_path / "test_it.py"
    test.write_text(
        '"""README.md: tbgen deploy haproxy"""\nask("/models/mood")\nrun(["deploy", x])\n', encoding="utf-8"
    )
    assert unknown_commands(block, test) == ["tbgen deploy haproxy", "python client.py"]
    test.write_text('PAGE = read("README.md")\nrun(of(PAGE, "tbgen deploy"), of(PAGE, "curl"))\n', encoding="utf-8")
    assert unknown_commands(block, test) == ["python client.py"]
    test.write_text('PAGE = read("README.md")\nrun(PAGE)\n', encoding="utf-8")
    assert unknown_commands(block, test) == []
