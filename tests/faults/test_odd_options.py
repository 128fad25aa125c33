"""Every option of every command with odd values: a command may take or refuse them, in a sentence."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tests.cli.test_options import ALL
from tests.faults.reader_files import make

VALUES = (
    *("", " ", "-", "\udcff", "nan", "-1", "0", "1e400", "99999999999999999999", "٣", "x" * 300, "x" * 5000),
    *("/dev/null", "/dev/full", "/proc", "nowhere/..", "a/b", "a\nb", "\x1b[31m", '{"a":1}', "[", "=", "a=", "a=1e999"),
    *("a=[1", ":", "a:b", "http://[::1", "http://a:99999", "s3://", "1,2", "1..2", "none", "${HOME}", "%s", "😀"),
)
NOBODY = ("--url", "grpc://127.0.0.1:1")
IMAGE = ("{models}", "--image", "ghcr.io/you/m:1", "-o", "out")
# The words with which each command ends soon; what serves, or fetches packages, is left out.
WORDS = {
    "scaffold": ("n", "--source", "{export}", "-r", "new", "--no-compare", "--no-vendor"),
    "check": ("{models}",),
    "init": ("n", "--source", "{export}", "-r", "new"),
    "diff": ("m", "-r", "{models}"),
    "update": ("m", "-r", "{models}"),
    **dict.fromkeys(("deploy compose", "deploy helm", "deploy kserve", "deploy kubernetes"), IMAGE),
    "deploy copy": ("{models}", "target", "--no-server"),
    "deploy dashboards": ("-o", "out"),
    "deploy haproxy": ("{models}", "--server", "triton", "-o", "out"),
    "deploy image": ("{models}", "-o", "out"),
    "install-backends": ("out", "--no-vendor"),
    "infer": ("m_onnx_bls", "글", *NOBODY),
    "probe": ("m_onnx_bls", *NOBODY),
    "run": ("m_onnx_bls", "글", "-r", "{models}"),
    "show": ("m_onnx_bls", "-r", "{models}"),
    "client": ("m_onnx_bls", "-r", "{models}"),
    "bench": ("m_onnx_bls", "-r", "{models}", *NOBODY),
    "tune": ("m", "-r", "{models}", *NOBODY),
    "capacity": ("m_onnx_bls", "-r", "{models}", "--rate", "10", "--p99", "100ms", *NOBODY),
    "doctor": NOBODY,
    "sbom": ("{models}", "-o", "bill.json"),
    "step new": ("own", "--pre"),
    "step test": ("nowhere.py",),
    "completion": ("bash",),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("models", tmp_path_factory.mktemp("made"))


def cases(command: str) -> list[tuple[str, ...]]:
    """What follows a command's words: each of its options with each value."""
    options = [each for each in ALL[command].params if isinstance(each, click.Option) and not each.is_flag]
    return [(each.opts[-1], value) for each in options for value in VALUES]


def try_each(command: str, made: Path, folder: Path, tried: list[tuple[str, ...]]) -> None:
    """Run a command with each, in a folder of its own."""
    for number, case in enumerate(tried):
        models = shutil.copytree(made, folder / f"{number}" / "models")
        (folder / f"{number}" / "target").mkdir()
        places = {"{models}": str(models), "{export}": str(made.with_name("exported"))}
        words = [places.get(word, word) for word in WORDS[command]]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder / f"{number}")
            done = CliRunner().invoke(main, [*command.split(), *words, *case])
        assert done.exception is None or isinstance(done.exception, SystemExit), (case, done.exception)
        assert done.exit_code in (0, 1, 2), case
        shutil.rmtree(folder / f"{number}")


@pytest.mark.parametrize("command", WORDS)
def test_some_odd_values(command: str, made: Path, tmp_path: Path) -> None:
    found = cases(command)
    try_each(command, made, tmp_path, random.Random(command).sample(found, min(2, len(found))))


@pytest.mark.soak
@pytest.mark.parametrize("command", WORDS)
def test_all_odd_values(command: str, made: Path, tmp_path: Path) -> None:
    try_each(command, made, tmp_path, cases(command))
