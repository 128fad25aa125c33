"""Installs the peers, each in a venv of its own below .cache/peers.

requirements/NAME.txt is the whole venv, resolved once for Python 3.11 and installed without looking for dependencies:
torch is the one release that all share, MLServer's runtime asks for `tensorflow` where `tensorflow-cpu` serves as well.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VENVS = Path(".cache/peers")
REQUIREMENTS = Path(__file__).with_name("requirements")
VENV_NAMES = tuple(sorted(file.stem for file in REQUIREMENTS.glob("*.txt")))

# optimum 1.27 imports these from where torch had them until 2.8.
MOVED = """
from torch.onnx._internal.torchscript_exporter.symbolic_opset14 import (
    _attention_scale, _causal_attention_mask, _onnx_symbolic, _type_utils, jit_utils, symbolic_helper
)
"""


def python_of(name: str) -> Path:
    """The Python of a peer's venv; an absolute path, not resolved, so that it stays the venv's."""
    return (VENVS / name / "bin" / "python").absolute()


def installed(name: str) -> bool:
    """Whether a peer's venv is whole and as requirements/NAME.txt says now."""
    stamp = VENVS / name / "installed.txt"
    return stamp.is_file() and stamp.read_bytes() == (REQUIREMENTS / f"{name}.txt").read_bytes()


def install(name: str) -> None:
    """Make a peer's venv anew. Raises RuntimeError with pip's last words."""
    requirements = REQUIREMENTS / f"{name}.txt"
    run(sys.executable, "-m", "venv", "--clear", VENVS / name)
    pip = (python_of(name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    run(*pip, "--requirement", requirements)
    for module in (VENVS / name).glob("lib/*/site-packages/torch/onnx/symbolic_opset14.py"):
        module.write_text(module.read_text(encoding="utf-8") + MOVED, encoding="utf-8")
    (VENVS / name / "installed.txt").write_bytes(requirements.read_bytes())


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(word) for word in command[:5])}: {done.stderr[-1000:]}")
