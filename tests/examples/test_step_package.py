"""The example package, installed beside tbgen and found by its entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tbgen.server.client.connection import Connection
from tests.serving import serving

PACKAGE = Path(__file__).parents[2] / "examples" / "step_package"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the example in it."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "step_package"
    run("cp", "-r", str(PACKAGE), str(source))
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--no-deps", "--no-build-isolation", "--target", str(folder), str(source))
    return folder


def run(*command: str, site: Path | None = None) -> str:
    environment = os.environ | ({"PYTHONPATH": str(site), "COLUMNS": "160"} if site else {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_steps_are_listed_and_tried_by_name(site: Path) -> None:
    listed = run(sys.executable, "-m", "tbgen.cli.main", "step", "list", site=site)
    assert "hide-numbers" in listed
    assert "Puts a sign in the place of each long number." in listed
    assert "HideNumbers keeps the contract." in run(
        sys.executable, "-m", "tbgen.cli.main", "step", "test", "hide-numbers", "sign=*", site=site
    )


def test_both_are_served_where_the_package_is_not(site: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tbgen.cli.main", "scaffold", "kcbert", "--task", "polarity"]
    run(*command, "--pre", "hide-numbers sign=*", "-r", str(tmp_path / "models"), site=site)
    texts = ["주가 1234567890 상승", "주가 * 상승", "주가 하락"]
    column = np.array([[text.encode("utf-8")] for text in texts], dtype=object)
    log = tmp_path / "log"
    with serving(tmp_path / "models", log=log) as server, Connection(server.grpc_url) as connection:
        for graph in ("ensemble", "bls"):
            answer = connection.infer(f"kcbert_onnx_{graph}", {"input_text": column})["polarity"][:, 0]
            assert answer[0] == pytest.approx(answer[1], abs=1e-6)
            assert answer[0] - answer[2] > 0.1


def test_its_task_joins_the_table(site: Path) -> None:
    script = "from tbgen.export.tasks.table import all_tasks; print(*sorted(all_tasks()))"
    assert "polarity" in run(sys.executable, "-c", script, site=site).split()
