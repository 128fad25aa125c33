"""The embedded server in an environment with numpy 2, by `tbgen server install`."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import numpy as np
import pytest

from tbgen.export.errors import UserError
from tbgen.server.embedded.install import refuse_python
from tests.hashed import by_hash
from tests.once import locked
from tests.triton.bare import CACHE

NUMPY = np.__version__ if np.__version__ > "2" else "2.2.6"  # the last for Python 3.10
EARLIER = Path(__file__).parents[1] / "generator" / "earlier" / "models.tar.xz"  # small models, and what they answer
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

told = json.loads(Path("answers.json").read_text(encoding="utf-8"))
texts = np.array([[text] for text in told["texts"]], dtype=object)
server = server_on_free_ports(Path("repository"))
try:
    server.start()
    with Connection(server.grpc_url) as connection:
        doubles = connection.infer("doubles", {"numbers": np.arange(6, dtype=np.float32).reshape(2, 3)})
        found = {model: connection.infer(model, {"input_text": texts}) for model in told["answers"]}
finally:
    server.stop(seconds=0)
for model, answers in told["answers"].items():
    assert [label.decode() for (label,) in found[model]["label"]] == answers["label"], model
    np.testing.assert_allclose(found[model]["softmax"], answers["softmax"], atol=1e-6)
plain = {name: values.tolist() for name, values in doubles.items()}
print(json.dumps({"here": np.__version__, "models": [*found], **plain}, default=bytes.decode))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """A Python with numpy 2, the packages of the tests' and the installed server, kept from one run to the next."""
    try:
        refuse_python()
    except UserError as error:
        pytest.skip(error.message)
    folder = CACHE / f"numpy-{NUMPY}-{sysconfig.get_python_version()}"
    python = folder / "bin" / "python"
    CACHE.mkdir(exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not (folder / "complete").exists():
            venv.create(folder, clear=True, with_pip=False)
            pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *by_hash("numpy", NUMPY, folder)], check=True)
            packages = folder / f"lib/python{sysconfig.get_python_version()}/site-packages"
            borrowed = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
            (packages / "borrowed.pth").write_text(borrowed, encoding="utf-8")
            subprocess.run([python, "-m", "tbgen.cli.main", "server", "install"], check=True)
            (folder / "complete").touch()
    return python


def test_text_and_numbers_are_served(python: Path, tmp_path: Path) -> None:
    with tarfile.open(EARLIER) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "repository/doubles/1").mkdir(parents=True)
    (tmp_path / "repository/doubles/config.pbtxt").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "repository/doubles/1/model.py").write_text(MODEL, encoding="utf-8")
    done = subprocess.run([python, "-c", ASK], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "here": NUMPY,
        "models": ["old_onnx_bls", "old_onnx_ensemble", "near_onnx_bls", "solo_onnx_single"],
        "doubles": [[0, 2, 4], [6, 8, 10]],
        "numpy": [["1.26.4"], ["1.26.4"]],
    }


def test_the_doctor_tells_both_numpys(python: Path) -> None:
    command = [python, "-m", "tbgen.cli.main", "doctor", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    parts = {part["name"]: part for part in told["parts"]}
    assert parts["embedded server"]["says"] == "nvidia-pytriton 0.7.0, tritonserver starts"
    assert parts["numpy"]["says"] == f"{NUMPY} here, 1.26.4 for the server"
    assert {"embedded server", "numpy", "tbgen[server]"}.isdisjoint(told["broken"])
