"""Models are renamed into a repository all or none, though the run be killed at any point of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.generator.publishing import finish_interrupted, publish, staging_folder
from tests.generator.folders import model_folder

# Publishes new models a, b and c over old a and c; argument: the number of the rename at which the process is killed.
KILLED = """
import os, signal, sys
from pathlib import Path

renames, rename = 0, Path.rename

def rename_or_die(self, target):
    global renames
    renames += 1
    if renames == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

Path.rename = rename_or_die
sys.path.insert(0, sys.argv[3])
from folders import model_folder
from tbgen.generator.publishing import finish_interrupted, publish, staging_folder

repository = Path(sys.argv[1])
if len(sys.argv) > 4:
    finish_interrupted(repository)
else:
    with staging_folder(repository) as staging:
        for name in "abc":
            model_folder(staging / name)
        publish(staging, repository, [*"abc"])
"""
BEFORE = 2  # renames before the first model's: of the lock, of the journal
MODELS = 5  # renames of models: two old ones aside, three new ones in


def test_models_are_moved_in_together(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "repository") as staging:
        model_folder(staging / "a")
        model_folder(staging / "b")
        publish(staging, tmp_path / "repository", ["a", "b"])
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["repository"]
    assert sorted(folder.name for folder in (tmp_path / "repository").iterdir()) == ["a", "b"]


def test_a_failure_puts_back_what_stood_there(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    model_folder(repository / "a", "old")
    with staging_folder(repository) as staging:
        model_folder(staging / "a")
        model_folder(staging / "new")
        with pytest.raises(FileNotFoundError):
            publish(staging, repository, ["new", "a", "missing"])
    assert [folder.name for folder in repository.iterdir()] == ["a"]
    assert (repository / "a" / "config.pbtxt").read_text(encoding="utf-8") == "old"


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staging_folder(tmp_path / "repository") as staging:
        model_folder(staging / "a")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_linked_repository_is_written_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "disk" / "repository").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "repository")
    with staging_folder(tmp_path / "link") as staging:
        assert staging.parent == tmp_path / "disk"
        model_folder(staging / "a")
        publish(staging, tmp_path / "link", ["a"])
    assert (tmp_path / "disk" / "repository" / "a" / "config.pbtxt").exists()


def test_the_working_folder_is_not_written_into_before_all_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    with staging_folder(Path()) as staging:
        assert staging.parent == tmp_path


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="needs a mount point")
def test_a_mount_point_is_refused() -> None:
    with (
        pytest.raises(UserError, match=r"^/dev/shm is a mount point, .* name a folder in it, or"),
        staging_folder(Path("/dev/shm")),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with (
        pytest.raises(UserError, match=r"^cannot write to .*file': "),
        staging_folder(tmp_path / "file" / "repository"),
    ):
        pass


def killed(repository: Path, rename: int, *options: str) -> int:
    command = [sys.executable, "-c", KILLED, str(repository), str(rename), str(Path(__file__).parent), *options]
    return subprocess.run(command, check=False).returncode


def old_models(folder: Path) -> Path:
    for name in ("a", "c"):
        model_folder(folder / name, "old")
    return folder


def texts(repository: Path) -> dict[str, str]:
    return {folder.name: (folder / "config.pbtxt").read_text(encoding="utf-8") for folder in repository.iterdir()}


@pytest.mark.parametrize("rename", range(1, BEFORE + 1))
def test_killed_before_the_first_rename_nothing_has_changed(rename: int, tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, rename) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    assert finish_interrupted(repository) == ()
    assert texts(repository) == {"a": "old", "c": "old"}


@pytest.mark.parametrize("rename", range(BEFORE + 1, BEFORE + MODELS + 1))
def test_killed_between_two_renames_the_next_command_does_the_rest(rename: int, tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, rename) == -signal.SIGKILL
    assert texts(repository) != {"a": "new", "b": "new", "c": "new"}
    with staging_folder(repository):
        assert texts(repository) == {"a": "new", "b": "new", "c": "new"}
    assert list(tmp_path.iterdir()) == [repository]


@pytest.mark.parametrize("again", range(1, 4))
def test_killed_again_while_the_rest_is_done(again: int, tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE + 2) == -signal.SIGKILL
    assert "a" not in texts(repository)
    assert killed(repository, again, "finish") == -signal.SIGKILL
    finish_interrupted(repository)
    assert texts(repository) == {"a": "new", "b": "new", "c": "new"}
    assert list(tmp_path.iterdir()) == [repository]


def test_a_run_that_was_not_killed_ends_well(tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE + MODELS + 1) == 0
    assert texts(repository) == {"a": "new", "b": "new", "c": "new"}
    assert list(tmp_path.iterdir()) == [repository]


def test_killed_while_old_models_are_put_back(tmp_path: Path) -> None:
    code = KILLED.replace('[*"abc"]', '[*"abc", "missing"]')
    for rename in range(BEFORE + MODELS + 3, BEFORE + MODELS + 8):  # the missing one's, the journal's, then the models'
        repository = old_models(tmp_path / str(rename))
        command = [sys.executable, "-c", code, str(repository), str(rename), str(Path(__file__).parent)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        finish_interrupted(repository)
        assert texts(repository) == {"a": "old", "c": "old"}


def test_what_a_person_has_put_there_since_is_kept(tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE + 2) == -signal.SIGKILL  # a is away
    time.sleep(0.05)  # file systems count time in ticks of some milliseconds
    model_folder(repository / "a", "mine")
    (repository / "c" / "config.pbtxt").write_text("edited", encoding="utf-8")
    assert finish_interrupted(repository) == ("b",)
    assert texts(repository) == {"a": "mine", "b": "new", "c": "edited"}


def test_a_living_run_is_left_alone(tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    with staging_folder(repository) as staging:
        model_folder(staging / "a")
        command = [sys.executable, "-c", KILLED, str(repository), "0", str(Path(__file__).parent), "finish"]
        assert subprocess.run(command, check=False).returncode == 0
        assert (staging / "a").exists()
    assert killed(tmp_path / "repository.v2", BEFORE + 2) == -signal.SIGKILL  # a name that begins like this one
    assert finish_interrupted(repository) == ()
    assert len(list(tmp_path.glob(".repository.v2.*"))) == 1


def test_commands_say_what_they_finish(tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE + 3) == -signal.SIGKILL
    result = CliRunner().invoke(main, ["check", str(repository)])
    assert "Finished what an interrupted run had begun: b, c" in result.stderr
    assert texts(repository) == {"a": "new", "b": "new", "c": "new"}
