"""What continuous integration installs has a hash, and what it installs on each Python is all that tbgen requires."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomllib

from tests.hashed import FILES, by_hash

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"[\w.-]+==[\w.]+( ; .+?)?( --hash=sha256:[0-9a-f]{64})+")


def lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("file", [*FILES, ROOT / "tests" / "tools.txt"], ids=lambda file: file.name)
def test_each_package_has_a_hash(file: Path) -> None:
    assert [line for line in lines(file) if not PINNED.fullmatch(line)] == []


def test_what_tbgen_requires_is_installed_on_each_python() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {re.split(r"[^\w-]", line)[0] for line in lines(ROOT / "tests" / "pythons.txt")}
    assert {re.split(r"[^\w-]", line)[0] for line in required} < names


def test_pip_is_told_of_one_package_by_its_hash(tmp_path: Path) -> None:
    told = by_hash("numpy", "2.2.6", tmp_path)  # which another Python than this one has
    assert "--require-hashes" in told
    assert re.fullmatch(r"numpy==2\.2\.6( --hash=sha256:\w+)+", Path(told[-1]).read_text(encoding="utf-8").strip())


def test_no_part_of_continuous_integration_installs_without_hashes() -> None:
    """Torch alone, whose build differs by machine, and tbgen itself."""
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    installed = [
        line for line in make.splitlines() if line.startswith("\t$(INSTALL)") and "--require-hashes" not in line
    ]
    assert installed == ["\t$(INSTALL) $(TORCH)", "\t$(INSTALL) --no-deps --no-build-isolation --editable ."]
    assert "--require-hashes" in (ROOT / "tests" / "pythons.py").read_text(encoding="utf-8")
