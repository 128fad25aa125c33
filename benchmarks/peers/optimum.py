"""The checkpoint as optimum makes an ONNX file of it, for the peers that serve such files; made once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks.models import CACHE, checkpoint_of_shape
from benchmarks.peers.install import python_of

SCRIPT = Path(__file__).with_name("services") / "onnx_files.py"
FORMS = {("fp32", False): "plain", ("fp32", True): "fused", ("int8", False): "int8", ("int8", True): "int8_fused"}


def optimum_files(venv: str, shape: str, precision: str, *, fused: bool) -> Path:
    """The folder with one form of a shape's checkpoint. Raises RuntimeError with optimum's last words."""
    form = FORMS[precision, fused]
    folder = CACHE / f"{shape}-{venv}-{form}"
    if not folder.exists():
        paths = [str(each.absolute()) for each in (python_of(venv), SCRIPT, checkpoint_of_shape(shape), folder)]
        words = {**os.environ, "USE_TF": "0"}  # MLServer's venv has a TensorFlow that its transformers cannot use
        made = subprocess.run([*paths, form], env=words, capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"optimum in {venv} made no {form} file: {made.stderr[-1000:]}")
    return folder
