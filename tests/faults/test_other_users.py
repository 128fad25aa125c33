"""Files and folders of other users: what may not be moved or removed is said before anything is done."""

from __future__ import annotations

import multiprocessing
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tbgen.export.errors import UserError
from tbgen.export.files import write_whole
from tbgen.export.scratch import beside, prefix_beside
from tbgen.generator.publishing import finish_interrupted, publish, staging_folder
from tbgen.server.deploy.deploy import deploy, deployment_plan
from tbgen.server.deploy.files import write_files
from tbgen.server.deploy.folder_store import FolderStore
from tests.generator.folders import model_folder
from tests.triton.counting import write_counting

OTHER = 12345  # a user and a group that nobody has
_CONTEXT = multiprocessing.get_context("forkserver")

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to other users")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of another user's, which that user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, OTHER, OTHER)
        yield Path(folder)


def given(folder: Path) -> None:
    """Give a folder to the other user with all in it."""
    for place in (folder, *folder.rglob("*")):
        os.chown(place, OTHER, OTHER, follow_symlinks=False)


def _do(act: Callable[[Path], object], home: Path, said: Any) -> None:
    os.setgroups([])
    os.setgid(OTHER)
    os.setuid(OTHER)
    try:
        act(home)
    except UserError as error:
        said.send(error.message)
    else:
        said.send("")


def said_to_other(act: Callable[[Path], object], home: Path) -> str:
    """What the other user is told, in a process of its own."""
    said, saying = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_do, args=(act, home, saying))
    process.start()
    saying.close()
    told: str = said.recv()
    process.join()
    return told


def republished(home: Path) -> None:
    with staging_folder(home / "models") as staging:
        model_folder(staging / "shop", "newest")
        publish(staging, home / "models", ["shop"])


def deployed(home: Path) -> None:
    with FolderStore(home / "models") as store:
        deploy(deployment_plan(home / "source", store), store)


def written(home: Path) -> None:
    write_files(home / "models", "compose", {"a.yaml": "newest"})


def models_of_the_kind(home: Path, act: Callable[[Path], object]) -> Path:
    """What the act replaces; a folder in it that goes with it."""
    if act is written:
        write_files(home / "models", "compose", {"a.yaml": "old", "more/b.yaml": "old"})
        return home / "models" / "more"
    if act is republished:
        return model_folder(home / "models" / "shop", "old") / "1"
    write_counting(home / "source", 3)
    write_counting(home / "models", 1)
    (home / "models" / "count" / "2").mkdir()
    return home / "models" / "count" / "1"


@pytest.mark.parametrize("mode", [0o755, 0o733, 0o700])
@pytest.mark.parametrize("act", [republished, deployed, written])
def test_caches_that_a_server_wrote_as_root(act: Callable[[Path], object], mode: int, home: Path) -> None:
    """A container without --user writes them; nothing but a removal of the whole folder meets them."""
    inside = models_of_the_kind(home, act)
    given(home)
    (inside / "__pycache__").mkdir()
    (inside / "__pycache__" / "model.cpython-310.pyc").touch()
    (inside / "__pycache__").chmod(mode)
    before = {place: place.read_bytes() for place in home.rglob("*") if place.is_file()}
    assert said_to_other(act, home).startswith(f"you may not write to '{inside / '__pycache__'}'")
    assert {place: place.read_bytes() for place in home.rglob("*") if place.is_file()} == before


@pytest.mark.parametrize("closed", ["models", "models/shop"])
def test_a_folder_that_may_not_be_written(closed: str, home: Path) -> None:
    model_folder(home / "models" / "shop", "old")
    given(home)
    (home / closed).chmod(0o555)
    assert said_to_other(republished, home).startswith(f"you may not write to '{home / closed}'")
    (home / closed).chmod(0o755)
    assert said_to_other(republished, home) == ""
    assert [entry.name for entry in home.iterdir()] == ["models"]


def left_behind(home: Path) -> None:
    finish_interrupted(home / "models")
    with beside(home / "models"):
        pass


def test_what_cannot_be_removed_stops_nobody(home: Path) -> None:
    left = home / f"{prefix_beside(home / 'models')}killed"
    (home / "models").mkdir()
    model_folder(left / "shop")
    (left / ".tbgen-owner").touch()
    given(home)
    os.chown(left / "shop" / "1", 0, 0)
    assert said_to_other(left_behind, home) == ""
    assert (left / ".tbgen-owner").exists()
    left_behind(home)
    assert not left.exists()


def owners(place: Path) -> tuple[int, int, int]:
    found = place.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_what_is_replaced_keeps_its_owner_and_mode(home: Path) -> None:
    """Who may read a server's config may read the next one, though root wrote that."""
    write_counting(home / "source", 2)
    write_counting(home / "models", 1)
    (home / "source" / "count" / "notes").write_text("new", encoding="utf-8")
    notes, page = home / "models" / "count" / "notes", home / "page.html"
    for file in (notes, page):
        file.write_text("old", encoding="utf-8")
        file.chmod(0o640)
    given(home)
    deployed(home)
    write_whole(page, b"new")
    assert [owners(file) for file in (notes, page)] == [(OTHER, OTHER, 0o640)] * 2
    assert notes.read_text(encoding="utf-8") == "new"
