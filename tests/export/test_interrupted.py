"""A full disk, a Ctrl-C, a folder one may not write to: one line, exit 1, and nothing half-written under the name."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tbgen.export.exported import Exported
from tests.export.stopped import Stopped

COMMAND = [sys.executable, "-c", "from tbgen.cli.main import main; main(prog_name='tbgen')", "export", "onnx"]


def start(bert: Path, target: Path, *options: str, **settings: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "--source", str(bert), "-o", str(target), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("kilobytes", [1, 20, 100])
def test_a_full_disk(kilobytes: int, bert: Path, tmp_path: Path) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    process = start(bert, tmp_path / "made", preexec_fn=little_room)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "Error: the file size limit is reached; nothing was written"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "room"),
    [
        (["--precision", "fp16"], 500),
        (["--precision", "fp16"], 2_000),
        (["--precision", "int8"], 100),
    ],
)
def test_a_disk_that_is_full_at_the_second_file(
    options: list[str], room: int, bert: Path, exported: Exported, tmp_path: Path
) -> None:
    """The traced graph has room; what the converters make of it, in C++ too, has not."""
    most = exported.model.stat().st_size + room

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    process = start(bert, tmp_path / "made", *options, preexec_fn=little_room)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "Error: the file size limit is reached; nothing was written"
    assert list(tmp_path.iterdir()) == []


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
    process = start(bert, tmp_path / "file" / "made")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith(f"Error: cannot write to {str(tmp_path / 'file')!r}: ")
