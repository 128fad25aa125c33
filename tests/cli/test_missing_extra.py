"""Without an extra's packages: one sentence with the pip install that cures it, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.server.embedded.ports import free_ports

PORTS = [
    word
    for name, port in zip(("http", "grpc", "metrics"), free_ports(3), strict=True)
    for word in (f"--{name}-port", str(port))
]
WITHOUT = "import sys; sys.modules[sys.argv.pop(1)] = None; from tbgen.cli.main import main; main(prog_name='tbgen')"
CURE = "is not installed; it comes with: pip install 'tbgen[{}]'\n"


def test_a_missing_package_is_a_sentence(tmp_path: Path) -> None:
    """PyTorch, without which transformers has no models, and says so in its own way."""
    words = [sys.executable, "-c", WITHOUT, "torch", "scaffold", "kcbert"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(CURE.format("onnx"))
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [
        ("transformers", ["scaffold", "kcbert"], "onnx"),
        ("onnx", ["scaffold", "kcbert"], "onnx"),
        ("onnxruntime", ["scaffold", "kcbert"], "onnx"),
        ("kubernetes_validate", ["deploy", "kubernetes", "--image", "ghcr.io/you/kcbert:1"], "deploy"),
        ("pytriton", ["serve", "model_repository", *PORTS], "server"),
    ],
)
def test_each_other_package_too(
    package: str, command: list[str], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_repository" / "m").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert done.stderr.endswith(CURE.format(extra))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["run kcbert_onnx_bls x", "run kcbert_onnx_ensemble x"])
def test_a_model_that_runs_here_needs_its_engine(
    command: str, sample_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = CliRunner().invoke(main, [*command.split(), "-r", str(sample_repository)])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"Error: onnxruntime {CURE.format('onnx')}"
