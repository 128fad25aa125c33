"""What can be asked of scaffold is said once: the same options of scaffold and of init, and the keys of a recipe."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tbgen.cli.init import init
from tbgen.cli.main import main
from tbgen.cli.scaffold import scaffold
from tbgen.export.errors import UserError
from tbgen.generator.recipe import RECIPE_KEYS, Recipe, recipe_from_file, text_from_recipe
from tbgen.generator.request import OPTIONS, Request
from tbgen.generator.resolve import resolve
from tbgen.generator.steps.vendor import this_platform

UNSAID = {"name", "weights"}  # an argument, and what init looks up itself
# A value of each field that is not its default, and the words for it.
SAID: dict[str, tuple[Any, list[str]]] = {
    "source": (Path("tests"), ["--source", "tests"]),
    "revision": ("v2", ["--revision", "v2"]),
    "tokenizer": (Path("tests/cli"), ["--tokenizer", "tests/cli"]),
    "base": ("beomi/kcbert-base", ["--base", "beomi/kcbert-base"]),
    "label_count": (3, ["--label-count", "3"]),
    "rename": (("a=b", "c=d"), ["--rename", "a=b", "--rename", "c=d"]),
    "task": ("rerank", ["--task", "rerank"]),
    "labels": (("나쁨", "좋음"), ["--label", "나쁨", "--label", "좋음"]),
    "engine": ("trt_fp16", ["--engine", "trt_fp16"]),
    "device": ("gpu", ["--device", "gpu"]),
    "graph": ("auto", ["--graph", "auto"]),
    "options": (("top_k=2",), ["--set", "top_k=2"]),
    "long_text": ("windows", ["--long-text", "windows"]),
    "pre": (("a.py:A sign=_ --separate",), ["--pre", "a.py:A sign=_", "--separate"]),
    "post": (("b.py:B", "c.py:C --separate"), ["--post", "b.py:B", "--post", "c.py:C", "--separate"]),
    "steps": ("backend", ["--steps", "backend"]),
    "fixed_length": (300, ["--fixed-length", "300"]),
    "layout": ("packed", ["--layout", "packed"]),
    "vendor": (False, ["--no-vendor"]),
    "cache": (True, ["--cache"]),
    "warmup": (True, ["--warmup"]),
    "queue": ("0.5", ["--queue", "0.5"]),
    "platform": ("aarch64", ["--platform", "aarch64"]),
    "build_script": ("24.04", ["--build-script", "24.04"]),
}


def parameters(command: click.Command) -> dict[str | None, click.Option]:
    return {each.name: each for each in command.params if isinstance(each, click.Option)}


def test_every_field_is_an_option_of_both_commands_and_a_key_of_recipes() -> None:
    names = {each.name for each in fields(Request)} - UNSAID
    assert names == OPTIONS.keys() == SAID.keys()
    assert {"engines" if name == "engine" else name for name in names | UNSAID} == RECIPE_KEYS.keys() - {"repository"}
    theirs, its = parameters(scaffold), parameters(init)
    for name in names:
        assert theirs[name].help == its[name].help == OPTIONS[name].help
        assert theirs[name].opts == its[name].opts
    assert [name for name in theirs if name in names] == [name for name in its if name in names] == [*OPTIONS]


def test_the_help_of_both_commands_imports_nothing_that_takes_long() -> None:
    code = (
        "import sys, tbgen.cli.init, tbgen.cli.scaffold\n"
        "print({'google', 'huggingface_hub', 'numpy', 'onnx', 'rich', 'torch', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("command", [scaffold, init])
def test_the_words_of_each_option(command: click.Command) -> None:
    words = ["shop", *(word for _, words in SAID.values() for word in words)]
    found = command.make_context("tbgen", words).params
    several = {"engine": ("trt_fp16",)} if command is init else {}
    assert {name: found[name] for name in SAID} == {name: value for name, (value, _) in SAID.items()} | several


def test_a_recipe_keeps_every_field(tmp_path: Path) -> None:
    here = {"source": tmp_path / "my.pt", "tokenizer": tmp_path / "tokenizer"}
    here |= {side: tuple(f"{tmp_path}/{option}" for option in SAID[side][0]) for side in ("pre", "post")}
    request = Request("shop", **{name: value for name, (value, _) in SAID.items()} | here, weights={"my.pt": "00"})
    assert all(getattr(request, name) != getattr(Request("shop"), name) for name in OPTIONS)
    (tmp_path / "tbgen.toml").write_text(
        text_from_recipe(Recipe((request, replace(request, engine="onnx")), tmp_path / "models"), tmp_path),
        encoding="utf-8",
    )
    found = recipe_from_file(tmp_path / "tbgen.toml")
    assert found == Recipe((request, replace(request, engine="onnx")), tmp_path / "models")


def test_init_writes_what_scaffold_reads(sample_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clean.py").write_text("class Clean:\n    def __call__(self, input_text): ...\n", encoding="utf-8")
    words = ["--engine", "trt_fp16", "--build-script", "24.04", "--pre", "clean.py", "--separate", "--cache"]
    done = CliRunner().invoke(main, ["init", "shop", "--source", str(sample_export), *words])
    assert done.exit_code == 0, done.output
    (request,) = recipe_from_file(Path("tbgen.toml")).requests
    assert request.weights
    assert replace(request, source=sample_export, weights={}) == Request(
        "shop",
        sample_export,
        engine="trt_fp16",
        pre=("clean.py --separate",),
        cache=True,
        platform=this_platform(),
        build_script="24.04",
        device="gpu",  # its engine runs nowhere else
    )


@pytest.mark.parametrize("seconds", ["0", "-1", "inf", "nan", "long", ""])
def test_a_queue_is_seconds_or_none_by_name(seconds: str) -> None:
    with pytest.raises(UserError, match=r"--queue takes seconds above 0, such as 4 or 0\.5, or none, not "):
        resolve(Request("kcbert", queue=seconds))
