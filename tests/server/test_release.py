import errno
import fcntl
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.export.scratch import alone_in
from tbgen.generator.repository import CONFIG
from tbgen.server.deploy.deploy import deploy, deployment_plan
from tbgen.server.deploy.folder_store import FolderStore
from tbgen.server.deploy.release import Undo, check_config, config_of, model_versions
from tests.export.stopped import Stopped
from tests.triton.counting import TENSORS, write_counting
from tests.waiting import FOREVER, wait_until

OLD = config_of("m", TENSORS)


def tree(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def copied(source: Path, target: Path, *, keep: int = 2) -> dict[str, int | None]:
    with FolderStore(target) as store:
        changes = deployment_plan(source, store)
        deploy(changes, store, keep=keep)
    return {change.release.name: change.version for change in changes}


def test_parts_come_before_the_ensemble(tmp_path: Path) -> None:
    repository = write_counting(tmp_path, 1)
    (repository / "count_ensemble").rename(repository / "a_ensemble")
    assert [release.name for release in model_versions(repository)] == ["count", "a_ensemble"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("TYPE_FP32", "TYPE_FP64", "'m' in the target has other outputs"),
        ('"text"', '"texts"', "'m' in the target has other inputs"),
        ("max_batch_size: 8", "max_batch_size: 4", "'m' would take 4 items at most instead of 8"),
    ],
)
def test_what_others_rely_on_may_not_change(old: str, new: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check_config("m", OLD, config_of("m", TENSORS.replace(old, new)))
    assert error.value.message.startswith(sentence)


def test_what_only_the_model_uses_may_change() -> None:
    check_config("m", OLD, config_of("m", TENSORS.replace("max_batch_size: 8", "max_batch_size: 16")))
    check_config("m", OLD, config_of("m", TENSORS + "instance_group { count: 3 } dynamic_batching {}"))


def test_a_config_of_several_served_versions_stays() -> None:
    several = config_of("m", TENSORS + "version_policy { all {} }")
    check_config("m", several, several)
    with pytest.raises(UserError, match="serves several versions"):
        check_config("m", several, OLD)


def test_copied_once_changed_once(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    (tmp_path / "target").mkdir()
    assert copied(source, tmp_path / "target") == {"count": 1, "count_ensemble": 1}
    assert "count_ensemble/1/README" in tree(tmp_path / "target")
    assert copied(source, tmp_path / "target") == {"count": None, "count_ensemble": None}
    write_counting(source, 2)
    assert copied(source, tmp_path / "target") == {"count": 2, "count_ensemble": None}
    assert (tmp_path / "target/count/2/number.txt").read_text(encoding="utf-8") == "2"


def test_old_versions_go_but_not_where_several_are_served(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    for number in range(4):
        copied(write_counting(tmp_path / "source", number), tmp_path / "target")
    assert sorted(each.name for each in (tmp_path / "target/count").iterdir()) == ["3", "4", CONFIG]
    for repository in ("source", "target"):
        with (tmp_path / repository / "count" / CONFIG).open("a", encoding="utf-8") as file:
            file.write("version_policy { latest { num_versions: 2 } }\n")
    copied(write_counting_keeping_config(tmp_path / "source", 9), tmp_path / "target")
    assert sorted(each.name for each in (tmp_path / "target/count").iterdir()) == ["3", "4", "5", CONFIG]


def write_counting_keeping_config(repository: Path, number: int) -> Path:
    (repository / "count" / "1" / "number.txt").write_text(str(number), encoding="utf-8")
    return repository


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    target = write_counting(tmp_path / "target", 2)
    before = tree(tmp_path)
    with FolderStore(target) as store:
        assert [change.version for change in deployment_plan(source, store)] == [2, None]
    assert tree(tmp_path) == before


def test_an_engine_and_its_vocabulary_do_not_change_together(tmp_path: Path) -> None:
    for repository, text in (("target", "old"), ("source", "new")):
        for model, file in (("shop_onnx", "model.onnx"), ("shop_tokenizer", "tokenizer.json")):
            backend = "onnxruntime" if model == "shop_onnx" else "python"
            (tmp_path / repository / model / "1").mkdir(parents=True)
            (tmp_path / repository / model / "1" / file).write_text(text, encoding="utf-8")
            (tmp_path / repository / model / CONFIG).write_text(f'backend: "{backend}" {TENSORS}', encoding="utf-8")
    with FolderStore(tmp_path / "target") as store, pytest.raises(UserError, match="'shop_tokenizer' has other tokens"):
        deployment_plan(tmp_path / "source", store)
    (tmp_path / "source/shop_tokenizer/1/tokenizer.json").write_text("old", encoding="utf-8")
    assert copied(tmp_path / "source", tmp_path / "target") == {"shop_onnx": 2, "shop_tokenizer": None}


@pytest.mark.parametrize(
    ("gone", "sentence"), [("count/config.pbtxt", "has no config.pbtxt"), ("count/1", "has no version folder")]
)
def test_a_folder_that_is_no_model(gone: str, sentence: str, tmp_path: Path) -> None:
    write_counting(tmp_path, 1)
    (tmp_path / gone).rename(tmp_path / "count_ensemble" / "moved")
    with pytest.raises(UserError, match=sentence):
        model_versions(tmp_path)


def test_links_within_the_repository_are_copied_as_what_they_lead_to(tmp_path: Path) -> None:
    """A version, a folder in it, a file; and an empty folder, such as one for a cache, comes along."""
    source = write_counting(tmp_path / "source", 7)
    model = source / "count"
    (model / "1").rename(source / "count_ensemble" / "v1")
    (model / "3").symlink_to("../count_ensemble/v1")
    (model / "3" / "캐시").mkdir()
    (model / "3" / "more").symlink_to(source / "count_ensemble" / "1")
    (model / "3" / "tool").write_text("#!/bin/sh", encoding="utf-8")
    (model / "3" / "tool").chmod(0o755)
    (model / "notes").symlink_to("../count_ensemble/config.pbtxt")
    (tmp_path / "target").mkdir()
    assert copied(source, tmp_path / "target")["count"] == 3
    target = tmp_path / "target" / "count"
    assert not any(entry.is_symlink() for entry in target.rglob("*"))
    assert tree(target) >= {"3/number.txt", "3/tool", "notes", *(f"3/more/{name}" for name in tree(model / "3/more"))}
    assert (target / "3" / "캐시").is_dir()
    assert (target / "3" / "tool").stat().st_mode & 0o111
    assert copied(source, tmp_path / "target") == {"count": None, "count_ensemble": None}


@pytest.mark.parametrize(
    ("place", "leads_to", "sentence"),
    [
        ("count/1/secret", "/etc/passwd", "count/1/secret is a link to /etc/passwd, outside the repository"),
        ("count/1/folder", "../../../outside", "is a link to ../../../outside, outside the repository"),
        ("count/2", "/etc", "count/2 is a link to /etc, outside the repository"),
        ("other", "../outside", "other is a link to ../outside, outside the repository"),
        ("other", "nothing", "other is a link to nothing, which is not there"),
        ("count/1/gone", "nothing", "count/1/gone is a link to nothing, which is not there"),
        ("count/1/round", "..", "count/1/round is a link to a folder that it lies in"),
    ],
)
def test_no_link_is_followed_out_of_the_repository(place: str, leads_to: str, sentence: str, tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    (tmp_path / "outside").mkdir()
    (source / place).symlink_to(leads_to)
    with pytest.raises(UserError) as error:
        model_versions(source)
    assert sentence in error.value.message


def test_what_is_no_file_is_not_left_out_without_a_word(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    os.mkfifo(source / "count" / "1" / "pipe")
    with pytest.raises(UserError, match="count/1/pipe is no file, so it cannot be copied"):
        model_versions(source)


def test_links_in_the_target_are_neither_replaced_nor_followed(tmp_path: Path) -> None:
    source, target = write_counting(tmp_path / "source", 2), write_counting(tmp_path / "target", 1)
    (target / "count" / CONFIG).rename(tmp_path / CONFIG)
    (target / "count" / CONFIG).symlink_to(tmp_path / CONFIG)
    before = tree(target)
    assert copied(source, target)["count"] == 2  # the config is the same
    (tmp_path / CONFIG).write_text((tmp_path / CONFIG).read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    write_counting(source, 3)
    with pytest.raises(UserError, match=rf"count/{CONFIG} is a link to .*; everything is as before"):
        copied(source, target)
    assert tree(target) == before | {"count/2/model.py", "count/2/number.txt"}
    assert (tmp_path / CONFIG).read_text(encoding="utf-8").endswith("# mine\n")
    (target / "count").rename(tmp_path / "elsewhere")
    (target / "count").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="target/count is a link to"):
        copied(source, target)


@pytest.mark.parametrize("name", ["count/2", "count/notes", "count/more", "count_ensemble", "count/config.pbtxt"])
@pytest.mark.parametrize("kind", ["file", "folder", "pipe", "link"])
def test_what_a_person_has_in_the_target_is_not_lost(name: str, kind: str, tmp_path: Path) -> None:
    """Where a version, a file, a folder or a model comes: it is refused, and stays; else it stays beside that."""
    source, target = write_counting(tmp_path / "source", 2), write_counting(tmp_path / "target", 1)
    (source / "count" / "more").mkdir()
    for new in ("notes", "more/notes"):
        (source / "count" / new).write_text("new", encoding="utf-8")
    place = target / name
    if os.path.lexists(place):
        place.rename(tmp_path / "away")
    if kind == "folder":
        place.mkdir()
        (place / "mine").touch()
    else:
        {"file": place.touch, "pipe": partial(os.mkfifo, place), "link": partial(place.symlink_to, "gone")}[kind]()
    mine = place.lstat().st_ino
    before = {str(entry.relative_to(target)) for entry in target.rglob("*")}
    try:
        copied(source, target, keep=9)
    except UserError:
        assert {str(entry.relative_to(target)) for entry in target.rglob("*")} == before
        assert place.lstat().st_ino == mine
    else:
        assert kind in ("file", "folder")
        assert before <= {str(entry.relative_to(target)) for entry in target.rglob("*")}


def test_a_file_that_is_named_like_an_old_version_stays(tmp_path: Path) -> None:
    source, target = write_counting(tmp_path / "source", 2), write_counting(tmp_path / "target", 1)
    (target / "count" / "0").touch()
    assert copied(source, target)["count"] == 2
    assert (target / "count" / "0").is_file()


def test_what_cannot_be_put_back_is_said_and_the_rest_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = write_counting(tmp_path / "source", 2), write_counting(tmp_path / "target", 1)
    before = tree(target)
    put = FolderStore.replace_shared

    def refused(place: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(place))

    def on_a_disk_that_fails(store: FolderStore, folder: Path, name: str, file: Path, undo: list[Undo]) -> None:
        undo.append(partial(refused, folder / name))
        put(store, folder, name, file, undo)
        refused(folder / name)

    monkeypatch.setattr(FolderStore, "replace_shared", on_a_disk_that_fails)
    with pytest.raises(UserError, match=r"Operation not permitted.*; all else is as before, but a file of count could"):
        copied(source, target)
    assert tree(target) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_copied_is_taken_back_when_a_signal_ends_it(
    number: signal.Signals, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    request.addfinalizer(partial(signal.signal, number, signal.signal(number, usual)))  # nohup has it ignored
    source, target = write_counting(tmp_path / "source", 1), tmp_path / "target"
    target.mkdir()
    command = ("deploy", "copy", str(source), str(target), "--no-server", "--json")
    with Stopped("tbgen.server.deploy.folder_store:_write_files", *command) as run:
        for _ in range(2):
            run.reaches("_write_files")
            run.goes_on()
        run.reaches("_write_files")  # of the second model
        assert [each.name for each in target.iterdir()] == ["count"]
        run.process.send_signal(number)
        assert run.ends() == (1, "Error: interrupted; nothing half-written was left")
    assert [*target.iterdir()] == []
    assert not [*tmp_path.glob(".tbgen-*")]


def test_nothing_is_put_into_what_is_copied(tmp_path: Path) -> None:
    """A version would else have files of the model before and of the one after; others may copy it meanwhile."""
    source, target = write_counting(tmp_path / "source", 1), tmp_path / "target"
    target.mkdir()
    command = ("deploy", "copy", str(source), str(target), "--no-server", "--json")
    with Stopped("tbgen.server.deploy.folder_store:_write_files", *command) as run:
        run.reaches("_write_files")
        with alone_in(source, reading=True):
            pass
        folder = os.open(source, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
    assert copied(source, target) == {"count": 1, "count_ensemble": 1}


@pytest.mark.parametrize("count", [2, 3])
def test_repositories_that_are_copied_into_each_other_in_a_circle(count: int, tmp_path: Path) -> None:
    folders = [write_counting(tmp_path / str(number), 1) for number in range(count)]
    with ExitStack() as readers, ExitStack() as stack:
        for folder in folders:
            readers.enter_context(alone_in(folder, reading=True))
        runs = []
        for source, target in zip(folders, [*folders[1:], folders[0]], strict=True):
            command = [sys.executable, "-m", "tbgen.cli.main", "deploy", "copy", source, target, "--no-server"]
            runs.append(stack.enter_context(subprocess.Popen(command)))
            stack.callback(runs[-1].kill)
        wait_until(lambda: {run.pid for run in runs} <= waiting_for_a_lock())  # some have their first
        readers.close()
        assert [run.wait(FOREVER) for run in runs] == [0] * count
    assert not [*tmp_path.glob(".tbgen-*")]


def waiting_for_a_lock() -> set[int]:
    """The processes that wait for the lock of a file, as the kernel lists them."""
    lines = [line.split() for line in Path("/proc/locks").read_text(encoding="utf-8").splitlines()]
    return {int(words[5]) for words in lines if words[1] == "->"}


@pytest.mark.parametrize("name", ["models", "link"])
def test_a_repository_may_be_its_own_target(name: str, tmp_path: Path) -> None:
    repository = write_counting(tmp_path / "models", 1)
    (tmp_path / "link").symlink_to(repository)
    done = CliRunner().invoke(main, ["deploy", "copy", str(repository), str(tmp_path / name), "--no-server"])
    assert done.exit_code == 0
    assert tree(repository) == tree(write_counting(tmp_path / "others", 1))


def test_what_a_killed_deployment_left_goes_with_the_next(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    (tmp_path / "target").mkdir()
    code = (
        "import os, signal, sys; from pathlib import Path; from tbgen.server.deploy.folder_store import FolderStore\n"
        "with FolderStore(Path(sys.argv[1])) as store:\n"
        "    (store.staging / 'half').write_text('')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    left = tmp_path / ".tbgen-deploy-killed"
    left.mkdir()  # before it was locked
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "target"], check=False).returncode == -signal.SIGKILL
    with FolderStore(tmp_path / "target") as living:
        assert [*tmp_path.glob(".tbgen-*")] == [living.staging]
        (tmp_path / "other").mkdir()
        copied(source, tmp_path / "other")
        assert living.staging.is_dir()
    assert not [*tmp_path.glob(".tbgen-*")]
