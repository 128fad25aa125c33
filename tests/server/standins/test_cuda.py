"""The onnxruntime stand-in on a server with a GPU, as far as one without shows it: what it takes, what it is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from tbgen.generator.local.backend_utils import NAME, module_for
from tbgen.generator.local.model import STANDINS, _module_of_model
from tbgen.generator.rules import onnxruntime as rules

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CUDA = "CUDAExecutionProvider"
needs_no_gpu = pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="for an onnxruntime of CPUs")


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setitem(sys.modules, NAME, module_for(lambda *_: {}))
    yield _module_of_model("tbgen_standin", STANDINS / "onnxruntime" / "model.py")
    del sys.modules["tbgen_standin"]


def version_folder(folder: Path, kind: str) -> Path:
    """Of a model whose config asks for instances of that kind."""
    (folder / "1").mkdir()
    (folder / "config.pbtxt").write_text(f"instance_group {{ kind: {kind} }}\n", encoding="utf-8")
    return folder / "1"


@needs_no_gpu
def test_a_model_that_leaves_it_open_runs_on_the_cpu(standin: Any, tmp_path: Path) -> None:
    assert standin._takes_gpu({"name": "m"}, version_folder(tmp_path, "KIND_AUTO"), "GPU") is False


@needs_no_gpu
def test_a_model_that_asks_for_a_gpu_in_vain_is_not_loaded(standin: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'m': it is for GPUs, and onnxruntime [\d.]+ has no CUDA; pip uninstall"):
        standin._takes_gpu({"name": "m"}, version_folder(tmp_path, "KIND_GPU"), "GPU")


@needs_no_gpu
def test_a_session_that_took_the_cpu_is_refused(
    standin: Any, packed_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])  # and then its libraries are missing
    (version_folder(tmp_path, "KIND_AUTO") / "model.onnx").symlink_to(packed_export / "model.onnx")
    with pytest.warns(UserWarning, match=CUDA), pytest.raises(ValueError, match="took the CPU in place of GPU 0"):
        standin._session_from_config({"name": "m"}, tmp_path / "1", "GPU", 0)


def test_the_provider_is_told_what_nvidias_backend_tells_it() -> None:
    accelerator = {"name": "cuda", "parameters": {"use_tf32": "0", "arena_extend_strategy": "kNextPowerOfTwo"}}
    config = {
        "parameters": {"arena_extend_strategy": {"string_value": "1"}, "gpu_mem_limit": {"string_value": "100"}},
        "optimization": {"execution_accelerators": {"gpu_execution_accelerator": [accelerator]}},
    }
    assert rules.cuda_settings(config) == {
        "use_tf32": "0",
        "arena_extend_strategy": "kSameAsRequested",  # the parameter is written over the accelerator's
        "gpu_mem_limit": "100",
    }
    wrong = {"parameters": {"arena_extend_strategy": {"string_value": "2"}}}
    (problem,) = rules.cuda_problems(wrong)
    assert problem.says == "unsupported arena_extend_strategy value '2' is requested"


def test_one_extra_brings_one_onnxruntime() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for_cpus = {each for each in (*extras["onnx"], *extras["server"]) if not each.startswith("onnxruntime")}
    assert for_cpus <= {*extras["gpu"]}
    assert [each for each in extras["gpu"] if each.startswith("onnxruntime")] == ["onnxruntime-gpu[cuda,cudnn]>=1.21"]
