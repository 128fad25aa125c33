"""Packages that a model brings in an execution environment, on a real server whose Python has only numpy."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy
import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main
from tbgen.generator.models.config import config_from_text
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


@pytest.fixture(scope="module")
def conda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as conda leaves it: a Python of its own, numpy, a package, and what conda knows of them."""
    prefix = tmp_path_factory.mktemp("conda") / "env"
    own, library = f"lib/python{RUNNING}", PYTHONS[RUNNING].library
    unused = shutil.ignore_patterns("site-packages", "dist-packages", "test*", "idlelib", "config-*", "__pycache__")
    shutil.copytree(sysconfig.get_path("stdlib"), prefix / own, ignore=unused)
    shutil.copy(library / f"libpython{RUNNING}.so.1.0", prefix / "lib")
    for folder in (Path(numpy.__file__).parent, Path(numpy.__file__).parents[1] / "numpy.libs"):
        shutil.copytree(folder, prefix / own / "site-packages" / folder.name, ignore=unused)
    (prefix / own / "site-packages" / "lucky_number.py").write_text("NUMBER = 42", encoding="utf-8")
    (prefix / "bin").mkdir()
    shutil.copy(Path(sys.executable).resolve(), prefix / "bin" / f"python{RUNNING}")
    (prefix / "bin" / "python3").symlink_to(f"python{RUNNING}")
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta" / "history").write_text("", encoding="utf-8")
    package = {"name": "python", "version": f"{RUNNING}.0", "files": [], "link": {"source": ""}, "url": ""}
    (prefix / "conda-meta" / f"python-{RUNNING}.0-0.json").write_text(json.dumps(package), encoding="utf-8")
    return prefix


@pytest.mark.parametrize("active", [True, False])
def test_a_conda_environment_comes_along(
    active: bool, conda: Path, counting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_PREFIX", str(conda) if active else "")
    result = tbgen("env", "pack", "count", "-r", counting, *(["--conda"] if active else ["--conda", conda]))
    assert result.exit_code == 0, result.output
    config = config_from_text((counting / "count" / "config.pbtxt").read_text(encoding="utf-8"))
    assert config.parameters["EXECUTION_ENV_PATH"].string_value == "$$TRITON_MODEL_DIRECTORY/env.tar.gz"
    model = counting / "count" / "1" / "model.py"
    says = "import sys; assert sys.base_prefix.startswith('/tmp/python_env_'), sys.base_prefix"
    model.write_text(f"{says}\n{model.read_text(encoding='utf-8')}", encoding="utf-8")
    with bare_server(counting, PYTHONS[RUNNING], tmp_path) as connection:
        assert ask(connection.client, "count") == ask(connection.client, "count_ensemble") == 42


@pytest.mark.parametrize(
    ("spoil", "release", "sentence"),
    [
        ("conda-meta", "23.09", "it has no folder conda-meta; `conda env list`"),
        (f"lib/python{RUNNING}/site-packages/numpy", "24.10", "the server's stub needs numpy"),
        ("", "24.12", f"the server's stub needs Python 3.12, '{{}}' has {RUNNING}; make one with: conda create"),
    ],
)
def test_a_conda_environment_that_will_not_do(
    spoil: str, release: str, sentence: str, counting: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "env"
    version = RUNNING if release == "24.12" else "3.10"
    for folder in ("conda-meta", f"lib/python{version}/site-packages/numpy"):
        (prefix / folder.replace(RUNNING, version)).mkdir(parents=True)
    (prefix / f"lib/python{version}/os.py").write_text("", encoding="utf-8")
    if spoil:
        (prefix / spoil.replace(RUNNING, version)).rmdir()
    result = tbgen("env", "pack", "count", "--conda", prefix, "--triton", release, "-r", counting)
    assert result.exit_code == 1
    assert sentence.format(prefix) in result.output
    assert not (counting / "count" / "env.tar.gz").exists()


def test_none_is_active(counting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    result = tbgen("env", "pack", "count", "-r", counting, "--conda")
    assert "no conda environment is active (CONDA_PREFIX is not set)" in result.output


def test_one_that_is_there_already(counting: Path, tmp_path: Path) -> None:
    (tmp_path / "own.tar.gz").write_bytes(b"packed by conda-pack")
    assert tbgen("env", "pack", "count", "--archive", tmp_path / "own.tar.gz", "-r", counting).exit_code == 0
    assert (counting / "count" / "env.tar.gz").read_bytes() == b"packed by conda-pack"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["count"], "name packages with -p or --requirements, or --conda, or an --archive"),
        (["count", "-p", "no-such-package-of-tbgen"], "no wheels of no-such-package-of-tbgen, numpy<2 for Python 3.12"),
        (
            ["count_ensemble", "-p", "lucky-number"],
            "'count_ensemble' runs on 'ensemble'; only Python models have packages",
        ),
        (["other", "-p", "lucky-number"], "'. Models: count, count_ensemble"),
    ],
)
def test_one_sentence(arguments: list[str], sentence: str, counting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    result = tbgen("env", "pack", *arguments, "--triton", "24.12", "-r", counting)
    assert result.exit_code != 0
    assert sentence in result.output
    assert not (counting / "count" / "env.tar.gz").exists()
