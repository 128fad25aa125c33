"""What `tbgen doctor` finds on this machine, and how it words what is not as it should be."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.server.doctor import devices, host, packages, runtime
from tbgen.server.doctor.part import BROKEN, MISSING, WORKS, MachinePart, broken_parts
from tbgen.server.doctor.questions import Reply, ask

ROOT = Path(__file__).parents[2]


def test_this_machine_serves() -> None:
    answer = CliRunner().invoke(main, ["doctor", "--json"])
    found = json.loads(answer.output)
    states = {part["name"]: part["state"] for part in found["parts"]}
    serving = ("Python", "tbgen[server]", "tritonclient", "embedded server", "libpython", "numpy", "ONNX Runtime")
    assert {name: states[name] for name in (*serving, "CPU provider")} == dict.fromkeys(
        (*serving, "CPU provider"), WORKS
    )
    assert answer.exit_code == (1 if found["broken"] else 0)


def test_what_does_not_work_is_said_with_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [
        MachinePart("driver", MISSING, "no libcuda", "GPUs", "install it"),
        MachinePart("numpy", BROKEN, "2.0", "Triton", "pip"),
    ]
    monkeypatch.setattr("tbgen.server.doctor.doctor.parts_of_machine", lambda: parts)
    answer = CliRunner().invoke(main, ["doctor"])
    assert answer.exit_code == 1
    assert "for GPUs: install it" in answer.output
    assert answer.output.endswith("2 parts, 1 missing, 1 broken\n")


def test_what_is_missing_is_no_fault() -> None:
    assert broken_parts([MachinePart("driver", MISSING, "", ""), MachinePart("numpy", WORKS, "", "")]) == []


def test_every_extra_is_said_to_be_for_something() -> None:
    assert {*(metadata("tbgen").get_all("Provides-Extra") or ())} - {"dev"} <= packages.EXTRAS.keys()


def test_a_version_that_tbgen_does_not_run_with_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "requires", lambda _: ["transformers>=99; extra == 'onnx'", "nothing; extra == 's3'"])
    found = {part.name: part for part in packages.package_parts()}
    assert found["tbgen[onnx]"].state == BROKEN
    assert ", where tbgen needs >=99" in found["tbgen[onnx]"].says
    assert (found["tbgen[s3]"].state, found["tbgen[s3]"].says) == (MISSING, "not installed: nothing")


def test_a_source_tree_that_no_pip_has_installed_has_no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "requires", absent)
    assert [part.name for part in packages.package_parts()] == ["Python", "tritonclient"]


def installed(folder: Path, *names: str) -> None:
    """What pip leaves of packages that each bring a module onnxruntime, version 1.9."""
    (folder / "onnxruntime").mkdir(parents=True)
    (folder / "onnxruntime" / "__init__.py").touch()
    for name in names:
        told = folder / f"{name.replace('-', '_')}-1.9.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.9\n", encoding="utf-8")
        (told / "RECORD").write_text("onnxruntime/__init__.py,,\n", encoding="utf-8")


class TestOnnxRuntime:
    def test_two_builds_in_one_module_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        installed(tmp_path, "onnxruntime", "onnxruntime-gpu")
        monkeypatch.syspath_prepend(tmp_path)
        part = next(runtime.runtime_parts(gpu=False))
        assert part.state == BROKEN
        assert "onnxruntime 1.9 and onnxruntime-gpu 1.9 are installed into one module" in part.says
        assert part.mend.startswith("pip uninstall -y onnxruntime onnxruntime-gpu, then install one")

    def test_a_build_in_a_folder_that_another_hides_is_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        installed(tmp_path / "venv", "onnxruntime")
        installed(tmp_path / "system", "onnxruntime-gpu")
        monkeypatch.setattr(sys, "path", [str(tmp_path / "venv"), str(tmp_path / "system"), *sys.path])
        assert packages.packages_of_module("onnxruntime") == ["onnxruntime"]

    @pytest.mark.parametrize(("gpu", "state"), [(True, BROKEN), (False, MISSING)])
    def test_a_provider_that_does_not_load_is_broken_where_a_gpu_is(
        self, gpu: bool, state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        says = "libcudnn.so.9: cannot open shared object file: No such file or directory"
        build = Reply({"version": "1.31.1", "cuda": "13.0", "providers": ["CUDAExecutionProvider"]})
        monkeypatch.setattr(runtime, "ask", lambda asked, *_: build if asked == "onnxruntime" else Reply(failure=says))
        part = list(runtime.runtime_parts(gpu=gpu))[-1]
        assert (part.name, part.state, part.says) == ("CUDA provider", state, f"does not load: {says}")

    def test_a_provider_that_the_build_has_not_does_not_run(self) -> None:
        assert ask("provider", "CUDAExecutionProvider").value is None
        assert ask("provider", "CPUExecutionProvider").value is True


class TestQuestion:
    def test_a_process_that_is_killed_is_an_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "crash.py").write_text(
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", encoding="utf-8"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        assert ask("module", "crash").failure == "ends its process (signal 11)"

    def test_the_last_line_tells_why(self) -> None:
        assert ask("module", "no_such_module").failure == "ModuleNotFoundError: No module named 'no_such_module'"

    def test_libraries_are_those_that_load(self) -> None:
        assert ask("libraries", "libc.so.6", "libnothing.so.1").value == ["libc.so.6"]


@pytest.mark.parametrize(
    ("failure", "state", "mend"),
    [
        ("OSError: libcuda.so.1: cannot open shared object file", MISSING, "--gpus all"),
        ("RuntimeError: CUDA error 100: no CUDA-capable device is detected", MISSING, "--gpus all"),
        ("RuntimeError: CUDA error 803: system has unsupported display driver", BROKEN, "restart the machine"),
    ],
)
def test_a_driver_without_a_gpu_is_missing_one_that_fails_broken(
    failure: str, state: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "ask", lambda *_: Reply(failure=failure))
    monkeypatch.setattr(devices, "_KERNEL", ROOT / "no such file")
    part = devices.driver_part()
    assert part.state == state
    assert mend in part.mend


def test_libraries_in_pythons_packages_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "nvidia" / "cudnn" / "lib"
    folder.mkdir(parents=True)
    (folder / "libcudnn.so.9").touch()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    part = next(part for part in devices.library_parts() if part.name == "cuDNN")
    assert part.state == WORKS
    assert f"9 in {folder}, where ONNX Runtime is told to look" in part.says


def test_a_full_shared_memory_and_taken_ports_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_LEAST_SHARED", 1 << 60)
    monkeypatch.setattr(host, "_PORTS", {"HTTP": 1, "gRPC": 1})
    found = {part.name: part for part in host.host_parts()}
    assert (found["/dev/shm"].state, found["ports"].state) == (BROKEN, MISSING)
    assert "--shm-size" in found["/dev/shm"].mend
    assert "the ports must differ" in found["ports"].says


def test_a_numpy_that_kills_the_stub_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "numpy_of_stub", lambda: "2.4.6")
    found = {part.name: part for part in host.host_parts()}
    assert found["numpy"].state == BROKEN
    assert "tbgen server install" in found["numpy"].says
