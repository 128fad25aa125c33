"""A full disk, a Ctrl-C, a folder one may not write to: one line, exit 1, and nothing half-written under the name."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.exported import Exported
from tests.export.stopped import Stopped

COMMAND = [sys.executable, "-c", "from tbgen.cli.main import main; main(prog_name='tbgen')", "export", "onnx"]


@contextmanager
def room(most: int) -> Iterator[None]:
    """Let this process, and those that it starts, write no file of more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FULL = "Error: the file size limit is reached; nothing was written"


def test_a_full_disk(bert: Path, tmp_path: Path) -> None:
    words = [*COMMAND, "--source", str(bert), "-o", str(tmp_path / "made")]
    with room(20 * 1024):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, FULL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kilobytes", [1, 100])
def test_a_disk_that_is_full_sooner_or_later(kilobytes: int, bert: Path, tmp_path: Path) -> None:
    with room(kilobytes * 1024):
        done = CliRunner().invoke(main, ["export", "onnx", "--source", str(bert), "-o", str(tmp_path / "made")])
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, FULL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (["--precision", "fp16"], 500),
        (["--precision", "fp16"], 2_000),
        (["--precision", "int8"], 100),
    ],
)
def test_a_disk_that_is_full_at_the_second_file(
    options: list[str], more: int, bert: Path, exported: Exported, tmp_path: Path
) -> None:
    """The traced graph has room; what the converters make of it, in C++ too, has not."""
    words = ["export", "onnx", "--source", str(bert), "-o", str(tmp_path / "made"), *options]
    with room(exported.model.stat().st_size + more):
        done = CliRunner().invoke(main, words)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, FULL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_ctrl_c(bert: Path, tmp_path: Path) -> None:
    options = ("export", "onnx", "--source", str(bert), "-o", str(tmp_path / "made"))
    with Stopped("tbgen.export.onnx.export:check_graph", *options) as run:
        run.reaches("check_graph")
        assert list(tmp_path.rglob("*.onnx"))
        run.interrupt()
        assert run.ends() == (1, "Error: interrupted; nothing half-written was left")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "folders"), [("export onnx -o", 1), ("scaffold mine -r", 2)])
def test_ctrl_c_again_while_the_first_is_cleaned_up(command: str, folders: int, bert: Path, tmp_path: Path) -> None:
    options = (*command.split(), str(tmp_path / "made"), "--source", str(bert))
    with Stopped("tbgen.export.onnx.export:check_graph", *options) as run:
        run.reaches("check_graph")
        assert list(tmp_path.rglob("*.onnx"))
        run.interrupt()
        for _ in range(folders):
            run.reaches("cleanup")
            run.interrupt()
            run.goes_on()
        run.reaches("ending")
        assert list(tmp_path.iterdir()) == []
        run.interrupt()
        run.goes_on()
        assert run.ends() == (1, "Error: interrupted; nothing half-written was left")


def test_a_folder_that_cannot_be_written_to(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    words = ["export", "onnx", "--source", str(bert), "-o", str(tmp_path / "file" / "made")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: cannot write to {str(tmp_path / 'file')!r}: ")
