"""The package as people get it: editable, wheel and sdist, each installed into a venv of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
NOT_PACKAGES = {"tests", "examples", "benchmarks", "docs", "model_repository", "build", "api"}
TRY = """
import importlib, pathlib, sys
import tbgen
assert tbgen.__version__ and not {"numpy", "torch"} & sys.modules.keys()
for name in tbgen.__all__:
    assert getattr(tbgen, name).__doc__, name
from importlib.metadata import distribution
from tbgen.generator.presets import PRESETS
for module in ("cli.main", "generator.scaffold", "server.embedded.server", "backends.tokenizer"):
    importlib.import_module(f"tbgen.{module}")
assert (PRESETS["kcbert"].source / "tokenizer.json").exists()
print(pathlib.Path(sys.modules["tbgen.cli.main"].__file__).resolve())
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def configured() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone holds: the tracked files and the new ones that git would not ignore."""
    target = tmp_path_factory.mktemp("clone") / "tbgen"
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines():
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


@pytest.fixture
def clean_venv(tmp_path: Path) -> Path:
    """A venv without tbgen that borrows this one's dependencies."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    borrowed = tmp_path / "borrowed"
    borrowed.mkdir()
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if "tbgen" not in package.name:
            (borrowed / package.name).symlink_to(package)
    (site / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")
    return python


def install(python: Path, *what: str | Path) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--no-deps", "--no-build-isolation", "--ignore-installed", *what)


def built(sources: Path, kind: str, target: Path) -> Path:
    run(sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", target, sources)
    return next(target.iterdir())


def test_every_folder_with_python_files_is_a_listed_package() -> None:
    settings = configured()["tool"]["setuptools"]  # type: ignore[index]
    folders = {
        file.parent.relative_to(ROOT)
        for file in ROOT.glob("*/**/*.py")
        if not file.parts[len(ROOT.parts)].startswith(".")
    }
    expected = {f"tbgen.{'.'.join(folder.parts)}" for folder in folders if folder.parts[0] not in NOT_PACKAGES}
    tops = {name.split(".")[1] for name in expected}
    assert set(settings["packages"]) == {*expected, "tbgen", "tbgen.generator.samples"}
    assert settings["package-dir"] == {"tbgen": "api"} | {f"tbgen.{top}": top for top in tops}


def test_editable(clean_venv: Path, sources: Path) -> None:
    install(clean_venv, "--editable", sources)
    assert run(clean_venv, "-c", TRY).strip() == str(sources / "cli" / "main.py")


def test_wheel(clean_venv: Path, sources: Path, tmp_path: Path) -> None:
    install(clean_venv, built(sources, "wheel", tmp_path / "dist"))
    assert "site-packages/tbgen/cli/main.py" in run(clean_venv, "-c", TRY)
    assert run(clean_venv.parent / "tbgen", "--version") == f"tbgen {configured()['project']['version']}\n"  # type: ignore[index]


def test_sdist(clean_venv: Path, sources: Path, tmp_path: Path) -> None:
    install(clean_venv, built(sources, "sdist", tmp_path / "dist"))
    assert "site-packages/tbgen/cli/main.py" in run(clean_venv, "-c", TRY)


LINKED = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from tbgen.cli.main import main
from tbgen.generator.steps.vendor import this_platform, vendor_tokenizers
vendor = pathlib.Path(sys.argv[1]) / "vendor"
vendor_tokenizers(vendor, this_platform())
print(vendor.joinpath("LICENSE").read_text().split()[0], end=" ")
main(["--version"], prog_name="tbgen")
"""


def test_a_folder_of_links(clean_venv: Path, sources: Path, tmp_path: Path) -> None:
    """Nothing of tbgen is installed; what a model brings along has its licence all the same."""
    (tmp_path / "tbgen").mkdir()
    for name in ("backends", "cli", "export", "generator", "server"):
        (tmp_path / "tbgen" / name).symlink_to(sources / name)
    said = run(clean_venv, "-c", LINKED, tmp_path)
    assert said == f"Apache tbgen {configured()['project']['version']}\n"  # type: ignore[index]
