"""What is written comes whole or not at all, replaces no link, and leaves nothing behind, though its run be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tbgen.export import exchange
from tbgen.export.errors import UserError
from tbgen.export.exchange import put_in_place
from tbgen.export.files import EXPORT_RECORD, whole_folder, write_whole
from tbgen.export.scratch import abandoned_folders, beside, prefix_beside, remove_folder, scratch, temporary_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from tbgen.export import exchange
from tbgen.export.files import whole_folder

def rename_and_die(self, target, rename=Path.rename):
    rename(self, target)
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2:] == ["renames"]:
    exchange._renameat2, Path.rename = None, rename_and_die
with whole_folder(Path(sys.argv[1]), force=True) as new:
    (new / "export.json").write_text("new")
    (new / "export.json").stat() and sys.argv[2:] or os.kill(os.getpid(), signal.SIGKILL)
"""


def export_folder(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / EXPORT_RECORD).write_text(text, encoding="utf-8")
    return folder


def rewrite(target: Path) -> None:
    with whole_folder(target, force=True) as new:
        (new / EXPORT_RECORD).write_text("newest", encoding="utf-8")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "model.plan"
    write_whole(file, memoryview(b"plan"))
    file.chmod(0o640)
    with pytest.raises(TypeError):
        write_whole(file, "no bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"plan"
    write_whole(file, b"other")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [*tmp_path.iterdir()] == [file]


def test_a_link_to_a_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/client.py")
    for text in ("안녕", "다시"):
        write_whole(tmp_path / "link", text.encode("utf-8"))
        assert str((tmp_path / "link").readlink()) == "real/client.py"
        assert (tmp_path / "real" / "client.py").read_text(encoding="utf-8") == text


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to(os.devnull)
    write_whole(tmp_path / "null", b"gone")
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)


@pytest.mark.parametrize("name", [".", "nowhere/.."])
def test_a_folder_is_no_file_to_write(name: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / name, b"")


def test_who_may_read_a_program_may_run_it(tmp_path: Path) -> None:
    file = tmp_path / "client.sh"
    file.touch(0o640)
    write_whole(file, b"#!/bin/sh", runnable=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o750
    before = Path(os.devnull).stat().st_mode
    write_whole(Path(os.devnull), b"#!/bin/sh", runnable=True)
    assert Path(os.devnull).stat().st_mode == before


def test_a_link_to_an_export_stays_one(tmp_path: Path) -> None:
    export_folder(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    rewrite(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / EXPORT_RECORD).read_text(encoding="utf-8") == "newest"
    assert {entry.name for entry in tmp_path.iterdir()} == {"real", "link"}


@pytest.mark.parametrize("name", ["notes.md", "folder/notes.json", "link"])
def test_what_is_no_part_of_an_export_is_not_replaced_with_it(name: str, tmp_path: Path) -> None:
    target = export_folder(tmp_path / "made", "old")
    (target / name).parent.mkdir(exist_ok=True)
    (target / name).symlink_to("export.json") if name == "link" else (target / name).write_text("mine")
    with pytest.raises(UserError, match=f"would be lost: {name.partition('/')[0]}; move it elsewhere"):
        rewrite(target)
    assert (target / EXPORT_RECORD).read_text(encoding="utf-8") == "old"


def test_one_that_came_in_between_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists; choose another folder"), whole_folder(tmp_path / "made") as new:
        export_folder(tmp_path / "made", "another run's")
        (new / EXPORT_RECORD).write_text("mine", encoding="utf-8")
    assert (tmp_path / "made" / EXPORT_RECORD).read_text(encoding="utf-8") == "another run's"


@pytest.mark.parametrize("disk", [[], ["renames"]], ids=["killed before", "killed between two renames"])
def test_a_killed_run_loses_no_export(disk: list[str], tmp_path: Path) -> None:
    target = export_folder(tmp_path / "made", "old")
    assert subprocess.run([sys.executable, "-c", KILLED, target, *disk], check=False).returncode == -signal.SIGKILL
    assert len([*tmp_path.iterdir()]) == (1 if disk else 2)
    with pytest.raises(UserError, match="exists; choose another folder"), whole_folder(target):
        pass
    assert (target / EXPORT_RECORD).read_text(encoding="utf-8") == "old"
    rewrite(target)
    assert [*tmp_path.iterdir()] == [target]


def test_the_place_is_never_empty(tmp_path: Path) -> None:
    """Another process looks without a pause."""
    target = export_folder(tmp_path / "made", "old")
    context = multiprocessing.get_context("spawn")
    begun, done, missed = context.Event(), context.Event(), context.Value("i", 0)
    watcher = context.Process(target=count_misses, args=(str(target / EXPORT_RECORD), begun, done, missed))
    watcher.start()
    begun.wait()
    for _ in range(200):
        rewrite(target)
    done.set()
    watcher.join()
    assert missed.value == 0


def count_misses(file: str, begun: object, done: object, missed: object) -> None:
    begun.set()  # type: ignore[attr-defined]
    while not done.is_set():  # type: ignore[attr-defined]
        missed.value += not os.path.lexists(file)  # type: ignore[attr-defined]


@pytest.mark.parametrize("exchanges", [True, False])
def test_what_stands_goes_to_the_other_place(exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, target = export_folder(tmp_path / "new", "new"), export_folder(tmp_path / "target", "old")
    if not exchanges:
        monkeypatch.setattr(exchange, "_renameat2", None)
    put_in_place(new, target, tmp_path / "aside")
    assert (target / EXPORT_RECORD).read_text(encoding="utf-8") == "new"
    other = new if exchanges else tmp_path / "aside"
    assert (other / EXPORT_RECORD).read_text(encoding="utf-8") == "old"


def test_only_what_nobody_holds_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".tbgen-x-empty").mkdir()  # killed before it was locked
    (tmp_path / ".tbgen-x-mine").mkdir()
    (tmp_path / ".tbgen-x-mine" / "file").write_text("", encoding="utf-8")
    with temporary_folder(tmp_path, ".tbgen-x-") as held, temporary_folder(tmp_path, ".tbgen-x-") as other:
        assert {*tmp_path.iterdir()} == {held, other, tmp_path / ".tbgen-x-mine"}
    assert [*tmp_path.iterdir()] == [tmp_path / ".tbgen-x-mine"]  # no run of tbgen's locked it


def test_a_name_that_begins_alike_is_anothers(tmp_path: Path) -> None:
    with beside(tmp_path / "made.v2") as other:
        assert [*abandoned_folders(tmp_path, prefix_beside(tmp_path / "made"))] == []
        assert other.is_dir()


def test_write_protected_folders_and_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = export_folder(tmp_path / "outside", "kept")
    with scratch() as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "link").symlink_to(outside)
        (folder / "link").symlink_to(outside)
        (folder / "deep" / "er").chmod(0o500)
        (folder / "deep").chmod(0o500)
        remove_folder(folder)
        folder.mkdir()
    assert not folder.exists()
    assert (outside / EXPORT_RECORD).read_text(encoding="utf-8") == "kept"
