"""The example package, installed beside tbgen and found by its entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_its_task_joins_the_table(site: Path) -> None:
    script = "from tbgen.generator.plugins import all_tasks; print(*sorted(all_tasks()))"
    assert "polarity" in run(sys.executable, "-c", script, site=site).split()
