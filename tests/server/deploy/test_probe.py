"""The probe of a container, `python3 probe.py`, beside a real server: which models it takes for dead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tbgen.generator.models.config import config_from_file
from tbgen.server.client.connection import Connection
from tbgen.server.deploy import probe
from tbgen.server.deploy.questions import questions_of
from tbgen.server.embedded.server import EmbeddedServer
from tests.server import playground as play
from tests.server.test_probe import HANGS, NAN, ONE_TEXT, SCORE
from tests.server.test_watch import kill_process_of
from tests.serving import serving

REFUSES = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        busy = pb.TritonError("ask again later", pb.TritonError.UNAVAILABLE)
        return [pb.InferenceResponse(error=busy) for _ in requests]
"""
# Answers "quick", and then works for an hour.
BUSY = """
import time, numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        asked = [pb.get_input_tensor_by_name(request, "input_text").as_numpy() for request in requests]
        if not all(b"quick" in each for each in asked):
            time.sleep(3600)
        return [pb.InferenceResponse([pb.Tensor("score", np.zeros(each.shape, np.float32))]) for each in asked]
"""
CODES = {"broken": NAN, "hangs": HANGS, "refuses": REFUSES, "busy": BUSY}
DEAD = {
    "killed": "Stub process 'killed_0' is not healthy",
    "broken": "its answer is none",
    "hangs": "no answer within 5 s, to nobody",
    "gone": "404",
}
ALIVE = ("good", "refuses", "busy")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server whose models fail in each way that there is."""
    repository = tmp_path_factory.mktemp("models")
    for name in ("good", "killed"):
        play.write_python(repository, name, f"max_batch_size: 4 {play.TEXT}", play.MEASURE)
    for name, code in CODES.items():
        play.write_python(repository, name, ONE_TEXT + SCORE, code)
    with serving(repository) as server:
        yield server


def probed(server: EmbeddedServer, folder: Path, *models: str) -> subprocess.CompletedProcess[str]:
    """What the probe says of some models, run as a container runs it: with nothing of tbgen's."""
    configs = {file.parent.name: config_from_file(file) for file in server.repository.glob("*/config.pbtxt")}
    questions = questions_of(server.repository, configs)
    questions["gone"] = questions["good"]
    folder.mkdir(exist_ok=True)
    shutil.copy(probe.__file__, folder / "probe.py")
    asked = json.dumps({name: questions[name] for name in models}, ensure_ascii=False)
    (folder / "questions.json").write_text(asked, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", folder / "probe.py"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRITON_HTTP": f"http://{server.http_url}", "http_proxy": "http://127.0.0.1:9"},
    )


def test_a_model_that_answers_or_refuses_for_now_lives(server: EmbeddedServer, tmp_path: Path) -> None:
    done = probed(server, tmp_path / "probe", "good", "refuses")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_model_that_is_dead_ends_the_probe_with_a_sentence(server: EmbeddedServer, tmp_path: Path) -> None:
    with Connection(f"http://{server.http_url}", seconds=60) as connection:
        connection.infer("busy", {"input_text": np.array([[b"quick"]], dtype=object)})
    kill_process_of(server, "killed")
    done = probed(server, tmp_path / "probe", *DEAD, *ALIVE)
    assert done.returncode == 1
    assert [model for model in (*DEAD, *ALIVE) if f"{model}: " in done.stderr] == [*DEAD]
    for why in DEAD.values():
        assert why in done.stderr


def test_a_server_that_is_gone_ends_it_too(server: EmbeddedServer, tmp_path: Path) -> None:
    probed(server, tmp_path / "probe", "good")
    environment = {**os.environ, "TRITON_HTTP": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, tmp_path / "probe" / "probe.py"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
