"""Every command that a sentence suggests can be run as it stands there, but for the words in capitals."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.cli.suggested import with_words, words_given

ROOT = Path(__file__).parents[2]
# Words that are joined, which test_precision.py runs; and a table of what is named, not suggested.
OTHERS = {"export/precision/drift.py", "cli/suggested.py", "server/doctor/packages.py"}
VALUE = "X"  # of a part of an f-string


def texts(file: Path) -> Iterator[str]:
    """The texts of a file's code, docstrings apart, each f-string whole."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner | documented:
            yield node.value


def suggested(text: str) -> Iterator[tuple[click.Command, list[str]]]:
    """The commands of a text that have words behind them, or stand behind a colon: others are but named."""
    for found in re.finditer(r"(with|then|next|it|anew)?(: )?`?tbgen ([^`\n;)]+)", text, re.IGNORECASE):
        command: click.Command = main
        words = found[3].replace("{}", VALUE).split()
        while words and isinstance(command, click.Group):
            known = command.get_command(click.Context(command), words.pop(0).rstrip(".,"))
            if known is None:
                break
            command = known
        arguments = [*arguments_of(words)]
        if not isinstance(command, click.Group) and (arguments or found[2]):
            yield command, arguments


def arguments_of(words: list[str]) -> Iterator[str]:
    """The first of the words, as far as they are options, their values, and words that stand for others."""
    for before, word in zip(["", *words], words, strict=False):
        if not (word.startswith("-") or before.startswith("-") or word[:1].isupper()):
            return
        yield word.rstrip(".,:")


@pytest.mark.parametrize("folder", ["backends", "cli", "export", "generator", "server"])
def test_a_suggested_command_can_be_run(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        if str(file.relative_to(ROOT)) in OTHERS:
            continue
        for text in texts(file):
            for command, words in suggested(text):
                try:
                    command.make_context(command.name, [*words])
                except click.exceptions.Exit:
                    pass
                except click.UsageError as error:
                    pytest.fail(f"{file}: {text!r}: {error.message}")


# Where a command is suggested without a repository: whoever reads it named none, or its words get one (completed).
NAMED_NONE = {"cli/export.py", "cli/step.py", "server/deploy/deploy.py", "server/deploy/release.py"}
COMPLETED = {"server/capacity/measurement.py", "generator/compose.py", "cli/suggested.py", "generator/repository.py"}


@pytest.mark.parametrize("folder", ["cli", "export", "generator", "server"])
def test_a_suggested_command_names_the_repository(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        if str(file.relative_to(ROOT)) in OTHERS | NAMED_NONE | COMPLETED:
            continue
        for text in texts(file):
            for command, words in suggested(text):
                takes = any("--repository" in each.opts for each in command.params)
                assert not takes or "-r" in words or not words, f"{file}: {text!r}"


def test_a_command_that_lacks_a_word_is_found() -> None:
    ((command, words),) = suggested("write it anew: tbgen export tensorrt --source FILE.onnx")
    assert words == ["--source", "FILE.onnx"]
    with pytest.raises(click.MissingParameter):
        command.make_context("tensorrt", words)
    assert [*suggested("`tbgen serve` starts one, and tbgen serves encoders")] == []


def test_a_command_is_completed_by_what_the_command_line_said(tmp_path: Path) -> None:
    texts = tmp_path / "my texts.txt"
    texts.touch()
    command = main.get_command(click.Context(main), "capacity")
    words = ["kcbert", "--rate", "1", "--p99", "1s", "-r", str(tmp_path), "--url", "1", "--header", "key=secret"]
    assert command
    with command.make_context("capacity", [*words, "--text", str(texts), "--json"]):
        given = words_given("rate", "p99", "price", "check")
    sentence = with_words("it fails; tbgen bench kcbert_onnx_bls tells more", given, command="tbgen bench")
    completion = f"--repository {tmp_path} --url 1 --header key=VALUE --text '{texts}'"
    assert sentence == f"it fails; tbgen bench {completion} kcbert_onnx_bls tells more"
    assert with_words("it fails", given, command="tbgen bench") == "it fails"


def test_a_ready_file_is_verified_in_the_repository_it_was_written_to(sample_export: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    file = ["--source", str(sample_export / "model.onnx"), "--tokenizer", str(sample_export), "--graph", "single"]
    done = CliRunner().invoke(main, ["scaffold", "mine", *file, "-r", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    (written,) = json.loads(done.stdout)
    command = f"tbgen verify mine -r '{folder}' --source CHECKPOINT"
    assert written["comparison"]["why_not"] == f"a ready file has no library; {command} compares the answers"
    assert done.stderr.count("tbgen verify mine") == done.stderr.count(command) == 2


def test_a_recipe_elsewhere_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "my recipes"
    folder.mkdir()
    recipe = ["init", "kcbert", "--graph", "bls", "--set", "top_k=2", "-o", str(folder / "tbgen.toml")]
    following = json.loads(CliRunner().invoke(main, [*recipe, "--json"]).stdout)["next"]
    assert following == f"tbgen scaffold --recipe '{folder}/tbgen.toml'"
    text = (folder / "tbgen.toml").read_text(encoding="utf-8")
    (folder / "tbgen.toml").write_text(re.sub(r'(?m)^("?model\.safetensors"? = ").', r"\g<1>x", text), encoding="utf-8")
    for command in ("scaffold", "update", "diff"):
        said = CliRunner().invoke(main, [command, "--recipe", f"{folder}/tbgen.toml"]).stderr
        assert re.search(
            r"anew: tbgen init kcbert .*--graph bls --set top_k=2 .*--engine onnx -r '.*/my recipes/model_repository' ",
            said,
        ), said
        assert said.endswith(f"-o '{folder}/tbgen.toml' --force\n")
