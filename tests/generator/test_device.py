"""--device: whose settings the models get, and which engine where none is named; said once, and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main
from tbgen.generator import devices
from tbgen.generator.engines import choice
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.models.config import ModelConfig, config_from_text
from tests.export import checkpoints
from tests.generator.test_scaffold import hashes


def tbgen(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def scaffold(folder: Path, *words: str | Path) -> str:
    done = tbgen("scaffold", "m", "-r", folder, "--no-vendor", *words)
    assert done.exit_code == 0, done.output
    return done.output


def config_of(model: Path) -> ModelConfig:
    return config_from_text((model / "config.pbtxt").read_text(encoding="utf-8"))


def settings_of(model: Path) -> dict[str, Any]:
    return json.loads((model / "tbgen.json").read_text(encoding="utf-8"))["settings"]


def kinds_of(folder: Path) -> dict[str, list[str]]:
    configs = {model.name: config_of(model) for model in sorted(folder.iterdir())}
    kind = ModelConfig.DESCRIPTOR.file.pool.FindEnumTypeByName("inference.ModelInstanceGroup.Kind")
    return {
        name: [kind.values_by_number[group.kind].name for group in config.instance_group]
        for name, config in configs.items()
    }


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.bert(tmp_path_factory.mktemp("device") / "bert")


def set_here(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """As if this machine had that device."""
    monkeypatch.setattr(choice, "device_here", lambda: device)


def test_cpu_is_the_default_and_auto_here_gives_the_same_bytes(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_here(monkeypatch, "cpu")
    scaffold(tmp_path / "plain", "--source", bert)
    said = scaffold(tmp_path / "auto", "--source", bert, "--device", "auto")
    assert "--device auto: cpu, with engine onnx" in said
    assert hashes(tmp_path / "plain") == hashes(tmp_path / "auto")
    set_here(monkeypatch, "gpu")  # the same command on another machine
    scaffold(tmp_path / "there", "--source", bert)
    assert hashes(tmp_path / "plain") == hashes(tmp_path / "there")


def test_gpu_writes_the_settings_of_one(bert: Path, tmp_path: Path) -> None:
    scaffold(tmp_path / "m", "--source", bert, "--device", "gpu", "--engine", "onnx_fp16")
    assert kinds_of(tmp_path / "m") == {
        "m_onnx_fp16": ["KIND_GPU"],
        "m_onnx_fp16_bls": ["KIND_CPU"],
        "m_onnx_fp16_ensemble": [],
        "m_onnx_fp16_tokenizer": ["KIND_CPU"],
        "m_postprocess": ["KIND_CPU"],
    }
    record = json.loads((tmp_path / "m/m_onnx_fp16/tbgen.json").read_text(encoding="utf-8"))
    assert record["settings"] | {"device": "gpu", "layout": "padded"} == record["settings"]
    assert record["export"]["made"]["optimized"] is True
    assert config_of(tmp_path / "m/m_onnx_fp16").parameters["arena_extend_strategy"].string_value == "1"
    assert config_of(tmp_path / "m/m_onnx_fp16_bls").instance_group[0].count == 2


def test_fp32_runs_without_tf32_on_a_gpu(bert: Path, tmp_path: Path) -> None:
    scaffold(tmp_path / "m", "--source", bert, "--device", "gpu", "--engine", "onnx", "--graph", "both")
    scaffold(tmp_path / "m", "--source", bert, "--device", "gpu", "--engine", "onnx", "--graph", "single")
    (accelerator,) = config_of(tmp_path / "m/m_onnx").optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, dict(accelerator.parameters)) == ("cuda", {"use_tf32": "0"})
    steps = json.loads((tmp_path / "m/m_onnx_single/1/steps.json").read_text(encoding="utf-8"))["steps"]
    (engine,) = (step for step in steps if step["class"] == "CudaEngine")
    assert engine["settings"]["cuda"] == {"arena_extend_strategy": "kSameAsRequested", "use_tf32": "0"}


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_the_engine_of_a_gpu_follows_from_the_family(family: str, tmp_path: Path) -> None:
    source = checkpoints.checkpoint(tmp_path / family, family)
    scaffold(tmp_path / "m", "--source", source, "--device", "gpu", "--no-compare", "--graph", "bls")
    packed = "onnx_cuda" if "onnx_cuda" in ENGINES else "onnx_fp16"
    expected = packed if family == "bert" else "onnx_fp16"
    assert settings_of(tmp_path / "m" / f"m_{expected}_bls")["engine"] == expected


def test_a_length_or_padding_that_is_asked_for_is_no_reason_to_refuse(bert: Path, tmp_path: Path) -> None:
    for words in (("--fixed-length", "32"), ("--layout", "padded")):
        scaffold(tmp_path / words[1], "--source", bert, "--device", "gpu", "--graph", "bls", *words)
        assert settings_of(tmp_path / words[1] / "m_onnx_fp16_bls")["engine"] == "onnx_fp16"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--engine", "onnx_int8", "--device", "gpu"), "engine onnx_int8 is for CPUs; leave --device gpu out"),
        (("--engine", "trt_fp16", "--device", "cpu"), "engine trt_fp16 is for GPUs; leave --device cpu out"),
        (("--device", "tpu"), "no device 'tpu'. Devices: auto, cpu, gpu"),
    ],
)
def test_an_engine_and_a_device_that_do_not_fit(
    bert: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    done = tbgen("scaffold", "m", "-r", tmp_path / "m", "--source", bert, *words)
    assert (done.exit_code, sentence in done.output) == (1, True), done.output


def test_update_never_looks_again(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    set_here(monkeypatch, "gpu")
    words = ("--source", bert, "--device", "auto", "--layout", "padded", "--graph", "bls", "--no-vendor")
    assert "--device auto: gpu" in tbgen("init", "m", *words).output
    recipe = Path("tbgen.toml").read_text(encoding="utf-8")
    assert 'engines = ["onnx_fp16"]\ndevice = "gpu"\n' in recipe
    assert tbgen("scaffold").exit_code == 0
    set_here(monkeypatch, "cpu")
    assert tbgen("diff", "--exit-code").exit_code == 0
    assert tbgen("diff", "m", "--exit-code").exit_code == 0
    by_hand = recipe.replace('device = "gpu"', 'device = "auto"').replace('engines = ["onnx_fp16"]\n', "")
    Path("tbgen.toml").write_text(by_hand, encoding="utf-8")
    done = tbgen("diff", "--exit-code")
    assert (done.exit_code, done.output) == (0, done.output)
    Path("tbgen.toml").unlink()
    assert settings_of(Path("model_repository/m_onnx_fp16"))["device"] == "gpu"


def test_what_is_here_is_what_the_driver_finds() -> None:
    assert devices.device_here() in ("cpu", "gpu")
