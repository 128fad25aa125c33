"""What a server is said to need, by the rules of docs/how-to/kubernetes.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.models.config import ModelConfig, config_from_text
from tbgen.server.deploy.sizes import sizes_of

MIB = 1 << 20
ENGINE = 'backend: "onnxruntime" '
THREADS = 'parameters { key: "intra_op_thread_count" value { string_value: "3" } } '
TENSORRT = 'optimization { execution_accelerators { gpu_execution_accelerator: [ { name: "tensorrt" } ] } } '


def models(folder: Path, **configs: tuple[str, int]) -> dict[str, ModelConfig]:
    """Models of these configs, each with an engine file of so many MiB, of which nothing is written."""
    for name, (text, size) in configs.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(text, encoding="utf-8")
        if size:
            with (folder / name / "1" / "model.onnx").open("wb") as file:
                file.truncate(size * MIB)
    return {name: config_from_text(text) for name, (text, _) in configs.items()}


def test_an_engine_takes_twice_its_weights_and_a_batch_for_each_instance(tmp_path: Path) -> None:
    configs = models(tmp_path, e=(ENGINE + THREADS + "instance_group { count: 2 kind: KIND_CPU }", 400))
    sizes = sizes_of(tmp_path, configs)
    assert sizes.memory == 2944  # 256, two of 800 and 512, and 64 of shared memory, in steps of 128
    assert (sizes.cpus, sizes.gpus) == (6, 0)


def test_a_gpu_takes_host_memory_too(tmp_path: Path) -> None:
    configs = models(tmp_path, e=(ENGINE + "instance_group { kind: KIND_GPU }", 0), p=('backend: "python"', 0))
    sizes = sizes_of(tmp_path, configs)
    assert (sizes.cpus, sizes.gpus) == (2, 1)
    assert sizes.memory == 2560  # 256, 2048, a process of 128 and shared memory of 128


@pytest.mark.parametrize("text", ['platform: "tensorrt_plan"', 'backend: "tensorrt" instance_group { count: 2 }'])
def test_a_plan_takes_a_gpu_whatever_its_config_says_of_instances(tmp_path: Path, text: str) -> None:
    assert sizes_of(tmp_path, models(tmp_path, e=(text, 0))).gpus == 1


@pytest.mark.parametrize(("text", "size", "seconds"), [(ENGINE, 100, 180), (ENGINE, 1500, 240), (TENSORRT, 100, 1980)])
def test_large_models_and_engines_that_are_built_at_the_load_start_later(
    tmp_path: Path, text: str, size: int, seconds: int
) -> None:
    assert sizes_of(tmp_path, models(tmp_path, e=(text, size))).startup == seconds


def test_archives_of_packages_have_room_where_they_are_unpacked(tmp_path: Path) -> None:
    configs = models(tmp_path, p=('backend: "python"', 0))
    (tmp_path / "p" / "env.tar.gz").write_bytes(bytes(2 * MIB))
    assert sizes_of(tmp_path, configs).temporary == 1034


def test_less_memory_than_the_models_take_is_refused(tmp_path: Path) -> None:
    configs = models(tmp_path, e=(ENGINE, 400))
    assert sizes_of(tmp_path, configs, memory=4000, cpus=8).memory == 4000
    with pytest.raises(UserError, match="1000 MiB of memory do not hold these models: a server of them takes"):
        sizes_of(tmp_path, configs, memory=1000)
