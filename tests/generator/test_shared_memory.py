"""How much shared memory a repository's Python models are said to need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tbgen.generator.shared_memory import shared_memory_mib

SAMPLE = Path(__file__).parents[2] / "model_repository"


def model(repository: Path, config: str, *settings: dict[str, Any]) -> None:
    """A model that has a config, and steps of these settings."""
    folder = repository / f"model{len(list(repository.iterdir()))}" / "1"
    folder.mkdir(parents=True)
    (folder.parent / "config.pbtxt").write_text(config, encoding="utf-8")
    steps = {"steps": [{"file": "step.py", "class": "Step", "settings": each} for each in settings]}
    (folder / "steps.json").write_text(json.dumps(steps), encoding="utf-8")


def python_model(name: str, dims: int, more: str = "") -> str:
    tensor = f'{{ name: "logits" data_type: TYPE_FP32 dims: [-1, {dims}] }}'
    return f'name: "{name}" backend: "python" max_batch_size: 8 input {tensor} output {tensor} {more}'


def test_small_models_take_what_a_container_has_and_a_little() -> None:
    assert shared_memory_mib(SAMPLE) == 128


def test_a_vocabulary_along_the_tokens_takes_twice_its_largest_batch(tmp_path: Path) -> None:
    model(tmp_path, python_model("head", 30_000), {"max_length": 300})
    logits = 2 * 8 * 300 * 30_000 * 4 * 2  # in and out, a batch of 8, FP32, and again for the next one
    assert shared_memory_mib(tmp_path) == (64 + 1 + logits / 2**20) // 64 * 64 + 64


def test_each_instance_counts_and_so_does_the_engine_that_is_called(tmp_path: Path) -> None:
    called = {"model": "engine", "inputs": {}, "outputs": {"logits": ["TYPE_FP32", [-1, 30_000]]}}
    model(tmp_path, 'name: "bls" backend: "python" max_batch_size: 8', {"max_length": 300}, called)
    one = shared_memory_mib(tmp_path)
    config = 'name: "bls" backend: "python" max_batch_size: 8 instance_group { count: 2 }'
    (tmp_path / "model0" / "config.pbtxt").write_text(config, encoding="utf-8")
    assert (one, shared_memory_mib(tmp_path)) == (640, 1216)


@pytest.mark.parametrize("config", ['name: "engine" backend: "onnxruntime" max_batch_size: 4096', "no config {"])
def test_what_is_no_python_model_takes_none(config: str, tmp_path: Path) -> None:
    model(tmp_path, config, {"max_length": 4096})
    assert shared_memory_mib(tmp_path) == 64
