"""Without an extra's packages: one sentence with the pip install that cures it, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tbgen.server.embedded.ports import free_ports

PORTS = [
    word
    for name, port in zip(("http", "grpc", "metrics"), free_ports(3), strict=True)
    for word in (f"--{name}-port", str(port))
]
WITHOUT = "import sys; sys.modules[sys.argv.pop(1)] = None; from tbgen.cli.main import main; main(prog_name='tbgen')"


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [
        ("torch", ["scaffold", "kcbert"], "onnx"),
        ("transformers", ["scaffold", "kcbert"], "onnx"),
        ("onnx", ["scaffold", "kcbert"], "onnx"),
        ("onnxruntime", ["scaffold", "kcbert"], "onnx"),
        ("kubernetes_validate", ["deploy", "kubernetes", "--image", "ghcr.io/you/kcbert:1"], "deploy"),
        ("pytriton", ["serve", "model_repository", *PORTS], "server"),
    ],
)
def test_a_missing_package_is_a_sentence(package: str, command: list[str], extra: str, tmp_path: Path) -> None:
    (tmp_path / "model_repository" / "m").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"is not installed; it comes with: pip install 'tbgen[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["run kcbert_onnx_bls x", "run kcbert_onnx_ensemble x"])
def test_a_model_that_runs_here_needs_its_engine(command: str, sample_repository: Path) -> None:
    words = [sys.executable, "-c", WITHOUT, "onnxruntime", *command.split(), "-r", sample_repository]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = "Error: onnxruntime is not installed; it comes with: pip install 'tbgen[onnx]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
