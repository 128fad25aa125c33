"""`tbgen server install`: which wheels, from where, and what it leaves when that fails."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.server.embedded import install

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment's folder, a list of wheels with one whose hash is known, and the folder where pip finds it."""
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels/small-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small.py", "WORDS = '한국어'\n")
        wheel.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        wheel.writestr("small-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256((tmp_path / "wheels/small-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    (tmp_path / "wheels.txt").write_text(f"# known\nsmall==1.0 --hash=sha256:{digest}\n", encoding="utf-8")
    monkeypatch.setattr(install, "_WHEELS", tmp_path / "wheels.txt")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "environment"


def test_the_wheels_are_those_of_the_tests() -> None:
    lines = install._WHEELS.read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["numpy==1.26.4", "nvidia-pytriton==0.7.0"]
    assert {*lines} <= {*(ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}


def test_its_python_imports_what_was_installed_before_what_is_here(environment: Path) -> None:
    assert install.private_packages() is None
    done = CliRunner().invoke(main, ["server", "install", "--quiet"])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Installed: {environment}/share/tbgen/small-1.0\n"
    python = environment / "share/tbgen/small-1.0/bin/python3"
    code = "import small, click, sys; print(small.__file__, click.__file__)"
    small, click = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert Path(small).parent == install.private_packages()
    assert Path(click).parents[1] != install.private_packages()


def test_a_second_time_it_is_made_anew(environment: Path) -> None:
    folder = install.install_server()
    packages = install.private_packages()
    assert packages
    (packages / "small.py").unlink()
    assert install.install_server() == folder
    assert (packages / "small.py").exists()
    assert list((environment / "share/tbgen").iterdir()) == [folder]


def test_a_wheel_with_another_hash_is_refused_and_nothing_is_left(environment: Path) -> None:
    with (environment.parent / "wheels/small-1.0-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"and more")
    with pytest.raises(UserError, match=r"^the embedded server was not installed \(.*DO NOT MATCH THE HASHES"):
        install.install_server()
    assert list((environment / "share/tbgen").iterdir()) == []


def test_a_python_without_numpy_1_is_refused(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_PYTHONS", ())
    done = CliRunner().invoke(main, ["server", "install"])
    assert done.exit_code == 1
    assert "the embedded server runs on Python 3.10 to 3.12, and this is 3." in done.stderr
    assert not environment.exists()
