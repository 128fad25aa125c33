"""The base tests on each Python of this machine: `make test-pythons`, and with --server the embedded server too.

An environment for each, below build/pythons: tbgen's wheel, and of tests/pythons.txt what it requires, numpy 2 and
onnxruntime; no torch. A Python that is not there is named.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "pythons"
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
# Files whose tests need no torch, or leave out those that do.
BASE = [
    "tests/backends/test_engine.py",
    "tests/backends/test_fill_mask.py",
    "tests/backends/test_merge.py",
    "tests/backends/test_meter.py",
    "tests/backends/test_model.py",
    "tests/backends/test_numerics.py",
    "tests/backends/test_request_queue.py",
    "tests/backends/test_text_classification.py",
    "tests/backends/test_token_classification.py",
    "tests/backends/test_tokenizer.py",
    "tests/backends/test_zero_shot_classification.py",
    "tests/cli/test_capacity.py",
    "tests/cli/test_completion.py",
    "tests/cli/test_main.py",
    "tests/cli/test_options.py",
    "tests/cli/test_step.py",
    "tests/generator/check/test_lines.py",
    "tests/generator/check/test_releases.py",
    "tests/generator/test_catalogue.py",
    "tests/generator/test_chain.py",
    "tests/generator/test_earlier.py",
    "tests/generator/test_environment.py",
    "tests/generator/test_plain.py",
    "tests/generator/test_plugins.py",
    "tests/generator/test_publishing.py",
    "tests/generator/test_repository.py",
    "tests/generator/test_shared_memory.py",
    "tests/generator/test_texts.py",
    "tests/generator/test_trial.py",
]
SERVER = "tests/triton/test_beside_numpy2.py"
QUIET = ("--quiet", "--disable-pip-version-check")
TOLD = "import numpy, platform; print(f'Python {platform.python_version()}, numpy {numpy.__version__}')"


def python_of(version: str) -> Path | None:
    """A Python of that version: one of pyenv's, or the system's."""
    own = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    found = shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin")  # pyenv's shims are not Pythons
    return own[-1] if own else Path(found) if found else None


def run(*command: str | Path) -> None:
    """Run a command to its end. Raises CalledProcessError."""
    subprocess.run(command, cwd=ROOT, check=True)


def built_wheel() -> Path:
    """tbgen's wheel, as people get it."""
    shutil.rmtree(FOLDER / "dist", ignore_errors=True)
    run(sys.executable, "-m", "pip", "wheel", *QUIET, "--no-deps", "--no-build-isolation", "-w", FOLDER / "dist", ".")
    return next((FOLDER / "dist").glob("*.whl"))


def environment(python: Path, version: str, wheel: Path) -> Path:
    """The Python of a new environment with the wheel; it may also be one that tbgen does not promise to run on."""
    shutil.rmtree(FOLDER / version, ignore_errors=True)
    run(python, "-m", "venv", "--without-pip", FOLDER / version)
    here = FOLDER / version / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", here, "install", *QUIET, "--no-compile"]
    run(*pip, "--only-binary=:all:", "--require-hashes", "--no-deps", "-r", Path(__file__).with_suffix(".txt"))
    run(*pip, "--no-deps", "--ignore-requires-python", wheel)
    return here


def trial(version: str, wheel: Path, tests: list[str]) -> tuple[bool, str]:
    """Whether the tests pass on that Python, where it is, and what is to be told of it."""
    python = python_of(version)
    if python is None:
        return True, f"Python {version}: not on this machine"
    here = environment(python, version, wheel)
    name = subprocess.check_output([here, "-c", TOLD], text=True).strip()
    command = [here, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    passed = done.returncode == 0
    return passed, f"{name}: {done.stdout.splitlines()[-1] if passed else done.stdout}"


def main(*, server: bool) -> None:
    """Try each Python, two at once; ends with status 1 where a test fails."""
    wheel, tests = built_wheel(), [*BASE, *([SERVER] if server else [])]
    with ThreadPoolExecutor(2) as pool:
        trials = []
        for passed, told in pool.map(lambda version: trial(version, wheel, tests), VERSIONS):
            print(told, flush=True)
            trials.append(passed)
    sys.exit(0 if all(trials) else 1)


if __name__ == "__main__":
    main(server="--server" in sys.argv)
