"""Shared options: which commands have them, and what is said to those who write the old ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tbgen.cli.deploy import deploy
from tbgen.cli.main import COMMANDS, main
from tbgen.cli.old_spellings import NEW_SPELLINGS

# An argument where the repository is the subject of the command, an option elsewhere.
SUBJECT = {"serve", "check", "sbom", *(f"deploy {name}" for name in deploy.commands if name != "dashboards")}
REPOSITORY = {
    "run",
    "client",
    "verify",
    "bench",
    "tune",
    "diff",
    "update",
    "env pack",
    "scaffold",
    "init",
    "probe",
    "show",
    "gateway",
    "capacity",
}
URL = {"infer", "probe", "doctor", "gateway", "check", "deploy copy", "bench", "tune", "verify", "client", "capacity"}
TEXT = {"infer", "run", "bench", "tune", "verify", "capacity", "export onnx", "export tensorrt"}
WITHOUT_JSON = {"client", "completion", "sbom"}  # what they print is a program, or JSON
# Nothing takes long in these, and they say nothing of what they do.
WITHOUT_QUIET = {
    "client",
    "completion",
    "deploy dashboards",
    "deploy haproxy",
    "gateway",
    "show",
    "step list",
    "step new",
    "step test",
}


def commands(group: click.Group = main, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


ALL = dict(commands())


def spelled(command: str) -> set[str]:
    """All spellings of the options of a command."""
    return {spelling for parameter in ALL[command].params for spelling in parameter.opts}


def having(*spellings: str) -> set[str]:
    """The commands that have all of the spellings."""
    return {name for name in ALL if {*spellings} <= spelled(name)}


def test_shared_options_stand_where_they_mean_something() -> None:
    assert having("--url") == URL
    assert having("--text", "--column") == having("--text") == TEXT
    assert having("--json") == {*ALL} - WITHOUT_JSON
    assert having("-q", "--quiet") == {*ALL} - WITHOUT_QUIET
    assert having("repository") == SUBJECT
    assert having("--repository") == having("-r") == REPOSITORY


@pytest.mark.parametrize("option", ["--url", "--text", "--column", "--json", "--quiet"])
def test_a_shared_option_is_one_option(option: str) -> None:
    kinds = {
        (type(parameter.type), tuple(parameter.opts), tuple(parameter.secondary_opts))
        for name in ALL
        for parameter in ALL[name].params
        if option in parameter.opts
    }
    assert len({kind for kind, *_ in kinds}) == 1
    assert len({tuple(opts) for _, opts, _ in kinds}) == 1


@pytest.mark.parametrize(("command", "option"), NEW_SPELLINGS)
def test_an_old_spelling_says_the_new_one(command: str, option: str) -> None:
    done = CliRunner().invoke(main, [*command.split(), option, "x"])
    assert done.exit_code == 2
    assert done.stderr.endswith(f"Error: {NEW_SPELLINGS[command, option]}\n")


def test_what_is_no_option_and_was_none_stays_so() -> None:
    assert "No such option '--htttp'" in CliRunner().invoke(main, ["infer", "--htttp"]).stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_begins_with_its_line_of_the_table(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert (command.help or "").startswith(COMMANDS[name][1])


def test_version_has_a_letter() -> None:
    assert re.fullmatch(r"tbgen \d+\.\d+\.\d+\S*\n", CliRunner().invoke(main, ["-V"]).output)


def test_one_module_prints() -> None:
    folder = Path(__file__).parents[2] / "cli"
    printing = re.compile(r"\bConsole\(|json\.dumps\(|click\.echo\(|(?<![.\w])print\(")
    found = {file.name for file in folder.glob("*.py") if printing.search(file.read_text(encoding="utf-8"))}
    assert found == {"show.py"}


# By command: options that do nothing without another one, and those that do nothing beside one.
NEEDS = {
    "bench x": {"--url": ["--header=a=b", "--metrics-url=x"], "--rate": ["--poisson"], "--text": ["--column=x"]},
    "tune x": {"--url": ["--header=a=b"], "--text": ["--column=x"]},
    "capacity x --rate 1 --p99 1s": {"--url": ["--header=a=b"], "--text": ["--column=x"]},
    "verify x": {"--url": ["--header=a=b"], "--text": ["--column=x"]},
    "doctor": {"--url": ["--header=a=b", "--metrics-url=x"]},
    "check": {"--live": ["--url=1", "--header=a=b"], "--tensorrt": ["--shape=1x8"]},
    "serve": {"--ui": ["--ui-port=1"]},
    "client x": {"--output": ["--force"]},
    "infer x": {"--text": ["--column=x"]},
    "run x": {"--text": ["--column=x"]},
    "export onnx --source x -o x": {"--text": ["--column=x"], "--precision": ["--keep-fp32=x"]},
    "export tensorrt --source x -o x --precision fp32": {"--text": ["--column=x"], "--precision": ["--keep-fp32=x"]},
    "deploy copy . x --no-server": {"--no-server": ["--url=1", "--header=a=b", "--timeout=2", "--poll-secs=2"]},
    "env pack x --archive pyproject.toml": {"--archive": ["--triton=24.10"]},
    "install-backends x --no-vendor": {"--no-vendor": ["--platform=aarch64"]},
    "scaffold x --no-vendor": {"--no-vendor": ["--platform=aarch64"]},
    "scaffold x --steps backend": {"--steps": ["--platform=aarch64", "--no-vendor", "--vendor"]},
    "init x --steps backend": {"--steps": ["--platform=aarch64", "--no-vendor"]},
    "init x --no-vendor": {"--no-vendor": ["--platform=aarch64"]},
}


@pytest.mark.parametrize(
    ("command", "other", "option"),
    [(command, other, option) for command, rows in NEEDS.items() for other, each in rows.items() for option in each],
)
def test_an_option_that_would_do_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, other: str, option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    done = CliRunner().invoke(main, [*command.split(), option])
    said = done.output.splitlines()[-1]
    assert (done.exit_code, option.partition("=")[0] in said, other in said) == (2, True, True), done.output


def test_every_option_whose_help_names_another_is_among_them() -> None:
    for words, command in commands():
        rows = [each for name, each in NEEDS.items() if name.startswith(words)]
        for option in (each for each in command.params if isinstance(each, click.Option)):
            for needed in re.findall(r"With (--[a-z-]+)[:,;]", option.help or ""):
                refused = [each.partition("=")[0] for row in rows for each in row.get(needed, [])]
                assert option.opts[-1] in refused, f"{words} {option.opts[-1]}"


@pytest.mark.parametrize(
    "words",
    [
        ("infer", "m", "글", "--timeout"),
        ("bench", "m", "--duration"),
        ("tune", "m", "--minutes"),
        ("bench", "m", "--tolerance"),
        ("export", "onnx", "--source", "c", "-o", "out", "--tolerance"),
        ("deploy", "copy", ".", ".", "--timeout"),
        ("capacity", "m", "--p99", "1s", "--rate"),
    ],
)
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_a_number_is_a_number(words: tuple[str, ...], value: str) -> None:
    done = CliRunner().invoke(main, [*words, value])
    assert (done.exit_code, "Invalid value for" in done.output) == (2, True), done.output


@pytest.mark.parametrize("host", ["", "\udcff", "a..b", "x" * 64])
@pytest.mark.parametrize("command", ["serve", "gateway"])
def test_a_host_is_a_name_or_an_address(command: str, host: str) -> None:
    done = CliRunner().invoke(main, [command, "--host", host])
    assert done.exit_code == 2
    assert "is no name or address" in done.stderr
