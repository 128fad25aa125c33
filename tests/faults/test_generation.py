"""Generation killed at any moment, two at once, a full disk: nothing half-written is seen, and edits are kept."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tbgen.generator.publishing import publish, staging_folder
from tbgen.generator.scaffold import Request, scaffold
from tests.faults.generation import FOLDER, OUTSIDE, SOURCE, WRITERS, Run, contents, on_a_full_disk
from tests.generator.folders import model_folder
from tests.generator.test_update import as_an_older_tbgen_wrote_it

LINKS = {"2": "1", "1/outside": f"../../../{OUTSIDE}/file"}  # that a person has in a model
SHORT, LONG = 3, 75  # moments of each writer


@pytest.fixture(scope="module")
def homes(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each writer a folder with what it writes from, and over: older models that a person has edited."""
    base = tmp_path_factory.mktemp("generation")
    for writer in WRITERS:
        home = base / writer
        (home / OUTSIDE).mkdir(parents=True)
        (home / OUTSIDE / "file").write_text("남의 것", encoding="utf-8")
        if writer == "exported":
            shutil.copytree(sample_export, home / SOURCE)
            shutil.copytree(sample_export, home / FOLDER)
            (home / FOLDER / "vocab.txt").write_text("older", encoding="utf-8")
            continue
        scaffold(Request("shop", sample_export, vendor=False), home / FOLDER, comparing=False)
        shutil.copytree(home / FOLDER if writer == "deployed" else sample_export, home / SOURCE)
        age(home / FOLDER)
        if writer == "updated":
            edit(home / FOLDER / "shop_onnx_bls")
    return {writer: base / writer for writer in WRITERS}


def age(repository: Path) -> None:
    """Let the models be those of an older tbgen."""
    for name in ("shop_tokenizer", "shop_postprocess", "shop_onnx_bls"):
        as_an_older_tbgen_wrote_it(repository / name, "1/model.py", "# older\n")


def edit(model: Path) -> None:
    """What a person may have done to a model."""
    for name, target in LINKS.items():
        (model / name).symlink_to(target)
    (model / "3").mkdir()
    (model / "1" / "tbgen.json").write_text("mine", encoding="utf-8")
    config = model / "config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8") + "# 내 메모\n", encoding="utf-8")


def copied(home: Path, place: Path) -> Path:
    shutil.copytree(home, place, symlinks=True)
    return place


def hidden(home: Path) -> set[str]:
    return {entry.name for entry in home.iterdir()} - {FOLDER, SOURCE, OUTSIDE}


Contents = dict[str, dict[str, str]]


def assert_whole(now: Contents, before: Contents, after: Contents) -> None:
    """Each model is the one before or the one after, and none is missing."""
    assert before.keys() <= now.keys() <= before.keys() | after.keys()
    for name, found in now.items():
        assert found in (before.get(name), after.get(name)), name


def newest(found: Contents) -> list[Any]:
    """Of a server's repository, what it serves; else all."""
    versions: dict[str, tuple[int, Any]] = {}
    for unit, files in found.items():
        model, _, version = unit.partition("/")
        if version.isdecimal():
            rows = sorted((name.split("/", 2)[2], content) for name, content in files.items())
            versions[model] = max(versions.get(model, (0, [])), (int(version), rows), key=lambda row: row[0])
    shared = [(unit, files) for unit, files in found.items() if not unit.partition("/")[2].isdecimal()]
    return [shared, {model: rows for model, (_, rows) in versions.items()}]


def killed_at_moments(writer: str, home: Path, count: int, work: Path) -> Iterator[str]:
    """Kill a writer at so many moments, evenly over all that it has, or else over its time; what it says of each."""
    before = contents(home)
    whole = copied(home, work / "whole")
    moments, complaint = Run(writer, whole).result() or (0, "killed")
    began = time.monotonic()
    Run(writer, copied(home, work / "timed")).result()
    took = time.monotonic() - began
    assert (complaint, hidden(whole)) == ("", set())
    after = contents(whole)
    assert after != before
    for number in range(count):
        place = copied(home, work / "killed")
        if number < moments:
            last = 1 + round(number * (moments - 1) / (min(count, moments) - 1))
            assert Run(writer, place, last=last).result() is None
            said = f"{writer} killed at {last} of {moments}"
        else:
            seconds = took * (number - moments) / (count - moments)
            killed = Run(writer, place).killed_after(seconds)
            said = f"{writer} {'killed' if killed else 'done'} after {seconds:.2f} of {took:.2f} s"
        assert_whole(contents(place), before, after)
        assert Run(writer, place).result() is not None
        assert newest(contents(place)) == newest(after)
        assert hidden(place) == set()
        shutil.rmtree(place)
        yield said


@pytest.mark.parametrize("writer", WRITERS)
def test_killed_at_some_moments(writer: str, homes: dict[str, Path], tmp_path: Path) -> None:
    assert len([*killed_at_moments(writer, homes[writer], SHORT, tmp_path)]) == SHORT


@pytest.mark.soak
@pytest.mark.parametrize("writer", WRITERS)
def test_killed_at_many_moments(writer: str, homes: dict[str, Path], tmp_path: Path) -> None:
    for said in killed_at_moments(writer, homes[writer], LONG, tmp_path):
        print(said, flush=True)


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "writers",
    [("updated", "updated"), ("scaffolded", "scaffolded"), ("exported", "exported"), ("deployed", "deployed")],
)
def test_two_at_once(writers: tuple[str, str], times: int, homes: dict[str, Path], tmp_path: Path) -> None:
    """The second waits for its turn, or is told that what it compared has changed: never a mix, no edit lost."""
    home = homes[writers[0]]
    whole = copied(home, tmp_path / "whole")
    Run(writers[0], whole).result()
    for number in range(times):
        place = copied(home, tmp_path / str(number))
        said = [run.result() for run in [Run(writer, place) for writer in writers]]
        complaints = [complaint for _, complaint in filter(None, said)]
        assert "" in complaints
        assert all("was changed while it was compared" in complaint for complaint in filter(None, complaints))
        assert contents(place) == contents(whole)
        assert hidden(place) == set()


@pytest.mark.parametrize("largest", [100, 100_000])
@pytest.mark.parametrize("writer", WRITERS)
def test_no_room_for_a_file(writer: str, largest: int, homes: dict[str, Path], tmp_path: Path) -> None:
    home = copied(homes[writer], tmp_path / "home")
    before = contents(home)
    _, complaint = Run(writer, home, largest=largest).result() or (0, "killed")
    assert complaint
    assert contents(home) == before
    assert hidden(home) == set()


@pytest.mark.parametrize("room", [0, 300_000])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk(writer: str, room: int, homes: dict[str, Path], tmp_path: Path) -> None:
    home = copied(homes[writer], tmp_path / "home")
    found = on_a_full_disk(writer, home, room)
    if found is None:
        pytest.skip("this user may not mount a small disk")
    complaint, as_before = found
    assert complaint or room
    assert as_before or not complaint


@pytest.mark.parametrize("times", [30, pytest.param(300, marks=pytest.mark.soak)])
def test_there_is_no_moment_without_a_model(times: int, tmp_path: Path) -> None:
    """Another process looks for the folder and its config without a pause, while new ones take its place."""
    model_folder(tmp_path / "repository" / "shop", "old")
    context = multiprocessing.get_context("forkserver")
    looking, done, looks, missed = (context.Event(), context.Event(), context.Value("i", 0), context.Value("i", 0))
    watcher = context.Process(target=look, args=(tmp_path / "repository" / "shop", looking, done, looks, missed))
    watcher.start()
    looking.wait()
    for number in range(times):
        with staging_folder(tmp_path / "repository") as staging:
            model_folder(staging / "shop", str(number))
            publish(staging, tmp_path / "repository", ["shop"])
    done.set()
    watcher.join()
    print(f"{looks.value} looks, {missed.value} without a model")
    assert looks.value
    assert missed.value == 0


def look(model: Path, looking: Any, done: Any, looks: Any, missed: Any) -> None:
    looking.set()
    while not done.is_set():
        looks.value += 1
        missed.value += not (os.path.lexists(model) and os.path.lexists(model / "config.pbtxt"))
