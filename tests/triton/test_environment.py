"""Packages that a model brings in an execution environment, on a real server whose Python has only numpy."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main
from tbgen.generator.config import config_from_text
from tests.triton.bare import bare_server, interpreters
from tests.triton.counting import ask, write_counting
from tests.triton.test_nothing_to_install import RUNNING

PYTHONS = interpreters()


def tbgen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose model `count` needs a package, and a wheel of it where pip looks."""
    with zipfile.ZipFile(tmp_path / "lucky_number-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("lucky_number.py", "NUMBER = 42")
        wheel.writestr(
            "lucky_number-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lucky-number\nVersion: 1.0\n"
        )
        wheel.writestr(
            "lucky_number-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("lucky_number-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    repository = write_counting(tmp_path / "repository", 0)
    model = repository / "count" / "1" / "model.py"
    text = model.read_text(encoding="utf-8").replace("float((Path", "lucky_number.NUMBER + float((Path")
    model.write_text(f"import lucky_number\n{text}", encoding="utf-8")
    return repository


@pytest.mark.parametrize("version", sorted({RUNNING, "3.12"} & PYTHONS.keys()))
def test_packages_come_along(version: str, counting: Path, tmp_path: Path) -> None:
    release = [] if version == RUNNING else ["--triton", "24.12"]
    result = tbgen("env", "pack", "count", "-p", "lucky-number==1.0", "-r", counting, *release)
    assert result.exit_code == 0, result.output
    config = config_from_text((counting / "count" / "config.pbtxt").read_text(encoding="utf-8"))
    assert config.parameters["EXECUTION_ENV_PATH"].string_value == "$$TRITON_MODEL_DIRECTORY/env.tar.gz"
    with bare_server(counting, PYTHONS[version], tmp_path) as connection:
        assert ask(connection.client, "count") == ask(connection.client, "count_ensemble") == 42


def test_without_them_the_model_does_not_load(counting: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="No module named 'lucky_number'"),
        bare_server(counting, PYTHONS[RUNNING], tmp_path),
    ):
        pass


def test_one_that_is_there_already(counting: Path, tmp_path: Path) -> None:
    (tmp_path / "own.tar.gz").write_bytes(b"packed by conda-pack")
    assert tbgen("env", "pack", "count", "--archive", tmp_path / "own.tar.gz", "-r", counting).exit_code == 0
    assert (counting / "count" / "env.tar.gz").read_bytes() == b"packed by conda-pack"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["count"], "name packages with -p or --requirements, or an --archive"),
        (["count", "-p", "no-such-package-of-tbgen"], "no wheels of no-such-package-of-tbgen, numpy<2 for Python 3.12"),
        (
            ["count_ensemble", "-p", "lucky-number"],
            "'count_ensemble' runs on 'ensemble'; only Python models have packages",
        ),
        (["other", "-p", "lucky-number"], "it has no config.pbtxt"),
    ],
)
def test_one_sentence(arguments: list[str], sentence: str, counting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    result = tbgen("env", "pack", *arguments, "--triton", "24.12", "-r", counting)
    assert result.exit_code != 0
    assert sentence in result.output
    assert not (counting / "count" / "env.tar.gz").exists()
