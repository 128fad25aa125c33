"""What `tbgen scaffold` says to the person who ran it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from tbgen.cli.main import main
from tbgen.server.embedded.process import STACK
from tests.export import checkpoints
from tests.generator.test_plans import plan_folder

STEP = """
import click
import numpy


class Clean:
    inputs = outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder): ...

    def __call__(self, input_text):
        return {"input_text": input_text}
"""


def tbgen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clean.py").write_text(STEP, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("here")
def test_imports_of_own_steps_are_named_with_the_ways_out(sample_export: Path) -> None:
    result = tbgen("scaffold", "shop", "--source", sample_export, "--pre", "clean.py")
    assert result.exit_code == 0, result.output
    assert (
        "clean.py imports click, to be found in the server, or vendored (shop_tokenizer/1/vendor, "
        "shop_onnx_bls/1/vendor), or in an execution environment "
        "(tbgen env pack shop_tokenizer shop_onnx_bls -p PACKAGE -r model_repository)" in result.output
    )


@pytest.mark.usefixtures("here")
def test_nothing_is_said_where_nothing_is_missing(sample_export: Path) -> None:
    assert "imports" not in tbgen("scaffold", "shop", "--source", sample_export).output


@pytest.mark.usefixtures("here")
def test_separate_belongs_to_the_step_before_it(sample_export: Path) -> None:
    asked = tbgen("scaffold", "shop", "--source", sample_export, "--pre", "clean.py:Clean", "--separate")
    assert asked.exit_code == 0, asked.output
    assert Path("model_repository/shop_clean/config.pbtxt").exists()


def test_separate_alone_is_a_usage_error() -> None:
    assert tbgen("scaffold", "kcbert", "--separate").exit_code == 2


@pytest.mark.usefixtures("here")
def test_the_container_is_not_roots_nor_open_to_others_nor_able_to_write(sample_export: Path) -> None:
    line = tbgen("scaffold", "shop", "--source", sample_export).output.splitlines()[-1].split()
    user, group = line[line.index("--user") + 1].split(":")
    assert 0 not in (int(user), int(group))
    assert [line[place + 1] for place, word in enumerate(line) if word == "-p"] == [
        "127.0.0.1:8000:8000",
        "127.0.0.1:8001:8001",
    ]
    assert line[line.index("-v") + 1].endswith("/model_repository:/models:ro")
    assert "--shm-size=128m" in line
    assert line[line.index("--ulimit") + 1] == f"stack={STACK}"


@pytest.mark.usefixtures("here")
def test_long_texts_are_rejected_or_read_in_windows(sample_export: Path) -> None:
    asked = tbgen("scaffold", "shop", "--source", sample_export, "--long-text", "windows", "--set", "stride=20")
    assert asked.exit_code == 0, asked.output
    assert "which an ensemble cannot: shop_onnx_bls is the one front model" in asked.output.replace("\n", " ")
    record = json.loads(Path("model_repository/shop_onnx_bls/tbgen.json").read_text(encoding="utf-8"))
    assert record["settings"]["long_text"] == "windows"
    assert tbgen("diff", "shop", "--exit-code").exit_code == 0
    assert tbgen("init", "mall", "--source", sample_export, "--long-text", "reject").exit_code == 0
    assert 'long_text = "reject"' in Path("tbgen.toml").read_text(encoding="utf-8")
    assert tbgen("scaffold").exit_code == 0
    tokenizer = Path("model_repository/mall_tokenizer/1/steps.json").read_text(encoding="utf-8")
    assert '"truncation": "do_not_truncate"' in tokenizer


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--long-text", "cut"], "long texts cannot be treated as 'cut'; --long-text takes truncate, reject, windows"),
        (["--long-text", "windows", "--graph", "ensemble"], "an ensemble cannot; use --graph bls"),
        (["--set", "stride=9"], "no option 'stride' for this task"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_be_done_with_long_texts_is_a_sentence(
    sample_export: Path, words: list[str], sentence: str
) -> None:
    asked = tbgen("scaffold", "shop", "--source", sample_export, "--task", "text-classification", *words)
    assert (asked.exit_code, sentence in asked.output.replace("\n", " ")) == (1, True), asked.output
    assert not Path("model_repository").exists()


@pytest.mark.usefixtures("here")
def test_a_plan_goes_with_the_container_that_builds_it(sample_export: Path) -> None:
    asked = ["--source", sample_export, "--engine", "trt_fp16", "--build-script", "24.04"]
    said = tbgen("scaffold", "shop", *asked).output.splitlines()
    build = said.index("Build the plan first, on the GPU machine: sh model_repository/shop_trt_fp16/build/build.sh")
    assert said[build + 1] == "Serve it here: tbgen serve model_repository"
    assert said[-2] == "Or start one on it, in NVIDIA's container, for this machine (for others: -p without 127.0.0.1):"
    assert said[-1].startswith("  docker run --rm --gpus all --user ")
    assert "nvcr.io/nvidia/tritonserver:24.04-py3 tritonserver" in said[-1]


@pytest.mark.usefixtures("here")
def test_a_plan_that_is_there_goes_with_the_release_of_its_tensorrt(sample_export: Path, tmp_path: Path) -> None:
    plan = plan_folder(sample_export, tmp_path / "plan", "1x128")
    said = tbgen("scaffold", "shop", "--source", plan, "--engine", "trt_fp16").output.splitlines()
    assert "in NVIDIA's container of the RELEASE that has TensorRT 8.5.3.1, for" in said[-2]
    assert "nvcr.io/nvidia/tritonserver:RELEASE-py3 tritonserver" in said[-1]


@pytest.mark.usefixtures("here")
def test_it_is_said_what_a_checkpoint_was_taken_for() -> None:
    folder = checkpoints.bert(Path("nli"), id2label={0: "entailment", 1: "neutral", 2: "contradiction"})
    tensors = load_file(folder / "model.safetensors")
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    chosen = (
        "ask text-classification, from architectures in config.json (BertForSequenceClassification, 3 labels "
        "entailment/neutral/contradiction); also fits: zero-shot-classification, text-classification --set pair=true"
    )
    for command in (
        ("scaffold", "shop", "--source", folder, "--no-vendor"),
        ("export", "onnx", "--source", folder, "-o", "made"),
        ("scaffold", "made", "--source", "made", "--no-vendor"),
        ("scaffold", "ready", "--source", "made/model.onnx", "--no-vendor"),
        ("init", "shop", "--source", folder),
    ):
        result = tbgen(*command)
        assert result.exit_code == 0, result.output
        assert chosen in result.output
        assert ("module." in result.output) == (command[1] in ("shop", "onnx", "made") and command[0] != "init")
    assert "also fits" not in tbgen("scaffold", "nli", "--source", folder, "--no-vendor", "--task", "rerank").output
