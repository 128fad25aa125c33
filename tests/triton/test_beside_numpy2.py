"""The embedded server in an environment with numpy 2, by `tbgen server install`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.once import locked
from tests.triton.bare import CACHE

NUMPY = "numpy==2.2.6"  # the last for Python 3.10
CONFIG = """
backend: "python"
max_batch_size: 4
input { name: "numbers" data_type: TYPE_FP32 dims: 3 }
output { name: "doubles" data_type: TYPE_FP32 dims: 3 }
output { name: "numpy" data_type: TYPE_STRING dims: 1 }
"""
MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "numbers").as_numpy()) for request in requests]

    def answer(self, numbers):
        version = np.full((len(numbers), 1), np.__version__, dtype=object)
        return pb_utils.InferenceResponse([pb_utils.Tensor("doubles", numbers * 2), pb_utils.Tensor("numpy", version)])
"""
ASK = """
import json, sys
from pathlib import Path
import numpy as np
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import server_on_free_ports

server = server_on_free_ports(Path(sys.argv[1]))
try:
    server.start()
    with Connection(server.grpc_url) as connection:
        texts = np.array([["오늘도 상한가 갔다"], ["🔥"]], dtype=object)
        numbers = connection.infer("doubles", {"numbers": np.arange(6, dtype=np.float32).reshape(2, 3)})
        labels = connection.infer("kcbert_onnx_ensemble", {"input_text": texts})
    answers = {name: values.tolist() for name, values in {**numbers, **labels}.items()}
    print(json.dumps({"here": np.__version__, **answers}, default=bytes.decode))
finally:
    server.stop(seconds=0)
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """A Python with numpy 2, the packages of the tests' and the installed server, kept from one run to the next."""
    folder = CACHE / f"{NUMPY}-{sysconfig.get_python_version()}"
    python = folder / "bin" / "python"
    CACHE.mkdir(exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not (folder / "complete").exists():
            venv.create(folder, clear=True, with_pip=False)
            pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--only-binary=:all:", NUMPY], check=True)
            packages = folder / f"lib/python{sysconfig.get_python_version()}/site-packages"
            borrowed = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
            (packages / "borrowed.pth").write_text(borrowed, encoding="utf-8")
            subprocess.run([python, "-m", "tbgen.cli.main", "server", "install"], check=True)
            (folder / "complete").touch()
    return python


def test_text_and_numbers_are_served(python: Path, sample_repository: Path, tmp_path: Path) -> None:
    shutil.copytree(sample_repository, tmp_path / "models")
    (tmp_path / "models/doubles/1").mkdir(parents=True)
    (tmp_path / "models/doubles/config.pbtxt").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "models/doubles/1/model.py").write_text(MODEL, encoding="utf-8")
    command = [python, "-c", ASK, tmp_path / "models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert f"numpy=={answers['here']}" == NUMPY
    assert answers["numpy"] == [["1.26.4"], ["1.26.4"]]
    assert answers["doubles"] == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]
    assert [row[0] for row in answers["label"]] == ["긍정", "긍정"]


def test_the_doctor_tells_both_numpys(python: Path) -> None:
    command = [python, "-m", "tbgen.cli.main", "doctor", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    parts = {part["name"]: part for part in told["parts"]}
    assert parts["embedded server"]["says"] == "nvidia-pytriton 0.7.0, tritonserver starts"
    assert parts["numpy"]["says"] == f"{NUMPY.removeprefix('numpy==')} here, 1.26.4 for the server"
    assert {"embedded server", "numpy", "tbgen[server]"}.isdisjoint(told["broken"])
