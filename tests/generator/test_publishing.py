"""Models are renamed into a repository all or none, though the run be killed at any point of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export import scratch
from tbgen.export.errors import UserError
from tbgen.generator.publishing import finish_interrupted, publish, staging_folder
from tests.generator.folders import model_folder

# Publishes new models a, b and c over old a and c. Arguments: the number of the move at which the process is killed;
# what the file system can do; "finish", to do what another run had begun, or the move that the disk refuses.
KILLED = """
import os, signal, sys
from pathlib import Path

from tbgen.export import exchange

moves = 0

def or_die(move):
    def moved(*names):
        global moves
        moves += 1
        if moves == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[5:] == [str(moves)]:
            raise OSError("refused")
        return move(*names)
    return moved

Path.rename = or_die(Path.rename)
exchange._renameat2 = or_die(exchange._renameat2) if sys.argv[3] == "exchange" else None
sys.path.insert(0, sys.argv[4])
from folders import model_folder
from tbgen.generator.publishing import finish_interrupted, publish, staging_folder

repository = Path(sys.argv[1])
if sys.argv[5:] == ["finish"]:
    finish_interrupted(repository)
else:
    with staging_folder(repository) as staging:
        for name in "abc":
            model_folder(staging / name)
        publish(staging, repository, [*"abc"])
"""
BEFORE = 1  # moves before the first model's: of the journal
MOVES = {"exchange": 3, "renames": 5}  # of models: exchanged or renamed in, and the two old ones renamed aside
EACH_MOVE = [(disk, BEFORE + move) for disk, count in MOVES.items() for move in range(1, count + 1)]


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


def killed(repository: Path, move: int, *options: str, disk: str = "exchange") -> int:
    command = [sys.executable, "-c", KILLED, str(repository), str(move), disk, str(Path(__file__).parent), *options]
    return subprocess.run(command, check=False).returncode


def old_models(folder: Path) -> Path:
    for name in ("a", "c"):
        model_folder(folder / name, "old")
    return folder


def texts(repository: Path) -> dict[str, str]:
    return {folder.name: (folder / "config.pbtxt").read_text(encoding="utf-8") for folder in repository.iterdir()}


def test_killed_before_the_first_move_nothing_has_changed(tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    assert finish_interrupted(repository) == ()
    assert texts(repository) == {"a": "old", "c": "old"}
    assert list(tmp_path.iterdir()) == [repository]


@pytest.mark.parametrize(("disk", "move"), EACH_MOVE)
def test_killed_between_two_moves_the_next_command_does_the_rest(disk: str, move: int, tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, move, disk=disk) == -signal.SIGKILL
    assert texts(repository) != {"a": "new", "b": "new", "c": "new"}
    assert disk == "renames" or {"a", "c"} <= texts(repository).keys()  # no moment without a model
    with staging_folder(repository):
        assert texts(repository) == {"a": "new", "b": "new", "c": "new"}
    assert list(tmp_path.iterdir()) == [repository]


@pytest.mark.parametrize("disk", MOVES)
@pytest.mark.parametrize("again", range(1, 3))
def test_killed_again_while_the_rest_is_done(disk: str, again: int, tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE + 2, disk=disk) == -signal.SIGKILL
    assert killed(repository, again, "finish", disk=disk) == -signal.SIGKILL
    finish_interrupted(repository)
    assert texts(repository) == {"a": "new", "b": "new", "c": "new"}
    assert list(tmp_path.iterdir()) == [repository]


@pytest.mark.parametrize("disk", MOVES)
def test_a_run_that_was_not_killed_ends_well(disk: str, tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE + MOVES[disk] + 1, disk=disk) == 0
    assert texts(repository) == {"a": "new", "b": "new", "c": "new"}
    assert list(tmp_path.iterdir()) == [repository]


@pytest.mark.parametrize("disk", MOVES)
def test_killed_while_old_models_are_put_back(disk: str, tmp_path: Path) -> None:
    last = BEFORE + MOVES[disk]
    for move in range(last + 2, last + 1 + MOVES[disk]):  # behind the journal's, the models'
        repository = old_models(tmp_path / str(move))
        assert killed(repository, move, str(last), disk=disk) == -signal.SIGKILL
        finish_interrupted(repository)
        assert texts(repository) == {"a": "old", "c": "old"}


def test_what_a_person_has_put_there_since_is_kept(tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE + 2, disk="renames") == -signal.SIGKILL  # a is away
    time.sleep(0.05)  # file systems count time in ticks of some milliseconds
    model_folder(repository / "a", "mine")
    (repository / "c" / "config.pbtxt").write_text("edited", encoding="utf-8")
    assert finish_interrupted(repository) == ("b",)
    assert texts(repository) == {"a": "mine", "b": "new", "c": "edited"}


@pytest.mark.parametrize(
    "journal",
    [
        *("", "[]", "{", "[" * 5000, '{"models": ["../x"], "inodes": [1], "stood": []}'),
        *(f'{{"models": [{name}], "inodes": [1], "stood": [], "back": false}}' for name in (5, '""', r'"a\u0000"')),
        '{"models": ["a"], "inodes": ["x"], "stood": [], "back": 5}',
        "a pipe",
    ],
)
def test_a_journal_that_says_nothing_stops_nobody(journal: str, tmp_path: Path) -> None:
    """No kill leaves one: after a power cut, what was renamed away and not replaced comes back."""
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE + 2, disk="renames") == -signal.SIGKILL  # a is away
    (staging,) = tmp_path.glob(".repository.*")
    if journal == "a pipe":
        (staging / ".tbgen-journal").unlink()
        os.mkfifo(staging / ".tbgen-journal")
    else:
        (staging / ".tbgen-journal").write_text(journal, encoding="utf-8")
    assert finish_interrupted(repository) == ("a",)
    assert texts(repository) == {"a": "old", "c": "old"}
    assert list(tmp_path.iterdir()) == [repository]


def test_what_a_stranger_laid_beside_a_repository_leads_nowhere(tmp_path: Path) -> None:
    """Links in the place of a staging folder, and of what one holds; a journal with a way out."""
    repository = old_models(tmp_path / "repository")
    (tmp_path / ".repository.tbgen-link").symlink_to(".")
    for folder in (tmp_path, model_folder(tmp_path / ".repository.tbgen-mine"), model_folder(tmp_path / "precious")):
        (folder / ".tbgen-owner").touch()
    (tmp_path / ".repository.tbgen-mine" / ".tbgen-journal").write_text("{}", encoding="utf-8")
    (tmp_path / ".repository.tbgen-mine" / ".replaced").symlink_to(tmp_path / "precious")
    assert finish_interrupted(repository) == ()
    assert texts(repository) == {"a": "old", "c": "old"}
    assert {entry.name for entry in tmp_path.iterdir()} == {
        "repository",
        "precious",
        ".tbgen-owner",
        ".repository.tbgen-link",
    }
    assert (tmp_path / "precious" / "config.pbtxt").is_file()


def test_a_living_run_is_left_alone(tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    with staging_folder(repository) as staging:
        model_folder(staging / "a")
        assert killed(repository, 0, "finish") == 0
        assert (staging / "a").exists()
    assert killed(tmp_path / "repository.v2", BEFORE + 2) == -signal.SIGKILL  # a name that begins like this one
    assert finish_interrupted(repository) == ()
    assert len(list(tmp_path.glob(".repository.v2.*"))) == 1


def test_commands_say_what_they_finish(tmp_path: Path) -> None:
    repository = old_models(tmp_path / "repository")
    assert killed(repository, BEFORE + 2) == -signal.SIGKILL
    result = CliRunner().invoke(main, ["check", str(repository)])
    assert "Finished what an interrupted run had begun: b, c" in result.stderr
    assert texts(repository) == {"a": "new", "b": "new", "c": "new"}


def test_what_is_mounted_in_a_model_is_not_moved_away_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a config of Kubernetes: the model would change places, and what is mounted be emptied."""
    repository = tmp_path / "my models"
    model_folder(repository / "a", "old")
    mounts = f"36 35 0:31 / {tmp_path}/my\\040models/{{}} rw,relatime - tmpfs none rw\n"
    monkeypatch.setattr(scratch, "_MOUNTS", tmp_path / "mountinfo")
    for place, refused in (("b", False), ("a/config.pbtxt", True), ("a/1", True), ("a", True)):
        (tmp_path / "mountinfo").write_text(mounts.format("ab") + mounts.format(place), encoding="utf-8")
        with staging_folder(repository) as staging:
            model_folder(staging / "a", f"instead of {place}")
            if refused:
                with pytest.raises(UserError, match=rf"my models/{place}' is a mount"):
                    publish(staging, repository, ["a"])
            else:
                publish(staging, repository, ["a"])
    assert (repository / "a" / "config.pbtxt").read_text(encoding="utf-8") == "instead of b"
