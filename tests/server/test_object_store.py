"""What a reader of a bucket can see at every moment of a deployment, on fsspec's file system in memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tbgen.export.errors import MissingExtra, UserError
from tbgen.generator.repository import CONFIG
from tbgen.server.deploy import object_store
from tbgen.server.deploy.deploy import deploy, deployment_plan
from tbgen.server.deploy.object_store import ObjectStore
from tbgen.server.deploy.release import config_of, model_versions
from tbgen.server.deploy.stores import bucket_errors, store_from
from tbgen.server.embedded.ports import free_ports
from tests.triton.counting import write_counting


class Watched(MemoryFileSystem):
    """A file system in memory that remembers all its objects after each change."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, Any] = {}
        self.pseudo_dirs = [""]
        self.seen: list[dict[str, bytes]] = []

    def look(self) -> None:
        self.seen.append({name.removeprefix("/models/"): file.getvalue() for name, file in self.store.items()})

    def pipe_file(self, *arguments: Any, **options: Any) -> None:
        super().pipe_file(*arguments, **options)
        self.look()

    def put_file(self, *arguments: Any, **options: Any) -> None:
        super().put_file(*arguments, **options)
        self.look()


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(object_store, "SECOND", 0.0)
    return Watched()


def copied(source: Path, files: Watched) -> None:
    with ObjectStore(files, "/models") as store:
        deploy(deployment_plan(source, store), store)


def served(objects: dict[str, bytes], model: str = "count") -> dict[str, bytes] | None:
    """The version files that the config in the bucket names; None while there is nothing that could be loaded."""
    if f"{model}/{CONFIG}" not in objects:
        return None
    (version,) = config_of(model, objects[f"{model}/{CONFIG}"].decode()).version_policy.specific.versions
    found = {name.rpartition("/")[2]: text for name, text in objects.items() if name.startswith(f"{model}/{version}/")}
    return found if "model.py" in found else None


def test_half_a_model_is_never_seen(files: Watched, tmp_path: Path) -> None:
    for number in (b"1", b"2", b"3"):
        copied(write_counting(tmp_path, number.decode()), files)
        assert served(files.seen[-1])["number.txt"] == number
    numbers = [found.get("number.txt") for objects in files.seen if (found := served(objects)) is not None]
    assert list(dict.fromkeys(numbers)) == [b"1", b"2", b"3"]
    assert None not in numbers


def test_empty_version_folders_get_a_marker_and_old_versions_go(files: Watched, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        copied(write_counting(tmp_path, number), files)
    names = {name.removeprefix("/models/") for name in files.store}
    assert "count_ensemble/1/README" in names
    assert {name for name in names if name.startswith("count/") and name.endswith("model.py")} == {
        "count/2/model.py",
        "count/3/model.py",
    }


def test_a_bucket_that_something_else_filled_is_pinned_first(files: Watched, tmp_path: Path) -> None:
    write_counting(tmp_path, 1)
    for file in tmp_path.rglob("count/**/*.*"):
        files.put_file(str(file), f"/models/{file.relative_to(tmp_path)}")
    files.seen.clear()
    copied(write_counting(tmp_path, 2), files)
    numbers = [served(objects)["number.txt"] for objects in files.seen]
    assert list(dict.fromkeys(numbers)) == [b"1", b"2"]


def test_what_lies_in_a_bucket_may_be_damaged(files: Watched, tmp_path: Path) -> None:
    source = write_counting(tmp_path, 1)
    copied(source, files)
    for content in (b"\xff\xfe", b"[[[[", b'{"files": 5}'):
        files.pipe_file("/models/count/tbgen.deployed.json", content)
        copied(source, files)  # it says nothing, so all files count as others
    for content in (b"\xff\xfe", b"name: 5"):
        files.pipe_file(f"/models/count/{CONFIG}", content)
        with pytest.raises(UserError, match=r"is not UTF-8|is no configuration of a model"):
            copied(source, files)


def test_a_failed_upload_is_taken_back(files: Watched, tmp_path: Path) -> None:
    copied(write_counting(tmp_path, 1), files)
    before = {name: file.getvalue() for name, file in files.store.items()}
    source = write_counting(tmp_path, 2)
    with ObjectStore(files, "/models") as store:
        changes = deployment_plan(source, store)
        (source / "count/1/model.py").unlink()
        with pytest.raises(FileNotFoundError):
            deploy(changes, store)
    assert {name: file.getvalue() for name, file in files.store.items()} == before


def test_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_from("s3://http://127.0.0.1:9000/bucket/path/")
    assert isinstance(store, ObjectStore)
    assert (str(store.root), store.files.endpoint_url) == ("bucket/path", "http://127.0.0.1:9000")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tbgen\[gs\]'"):
        store_from("gs://bucket")
    for target in ("nowhere://bucket", "http://a:99999", "file:///srv/models", "s3://", ""):
        with pytest.raises(UserError, match="targets are folders, s3://bucket/path and gs://bucket/path"):
            store_from(target)
    with pytest.raises(UserError, match="Invalid IPv6 URL"):
        store_from("s3://http://[::1/bucket/path")
    with pytest.raises(UserError, match="no folder"):
        store_from("/nowhere")


def test_a_bucket_without_credentials_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    target = "s3://shop/models"
    with pytest.raises(UserError, match=r"^s3://shop/models: .*credentials.*AWS_ACCESS_KEY_ID"), bucket_errors(target):
        store_from(target).standing("m")


def test_an_address_where_no_store_answers_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    target = f"s3://http://127.0.0.1:{free_ports(1)[0]}/shop/models"
    with pytest.raises(UserError, match="Could not connect to the endpoint URL"), bucket_errors(target):
        store_from(target).standing("m")


def test_what_googles_client_raises_is_a_sentence() -> None:
    async def ask() -> None:  # as gcsfs does, which tries it again for half a minute
        async with aiohttp.ClientSession() as session:
            await session.get(f"http://127.0.0.1:{free_ports(1)[0]}")

    with (
        pytest.raises(UserError, match=r"^gs://shop/models: Cannot connect to host .*STORAGE_EMULATOR_HOST"),
        bucket_errors("gs://shop/models"),
    ):
        asyncio.run(ask())


class Killed(Watched):
    """Which is killed before the n-th change: nobody puts anything back."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def look(self) -> None:
        super().look()
        self.last -= 1
        if not self.last:
            raise _Kill


class _Kill(BaseException):
    pass


def test_what_a_killed_deployment_left_is_served_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "SECOND", 0.0)
    for last in range(1, 30):
        files = Killed(0)
        copied(write_counting(tmp_path, 1), files)
        files.last = last
        with pytest.MonkeyPatch.context() as killed, contextlib.suppress(_Kill):
            killed.setattr("tbgen.server.deploy.deploy._put_back", lambda *_: [])
            copied(write_counting(tmp_path, 2), files)
        files.last = 0
        copied(tmp_path, files)
        assert served(files.seen[-1])["number.txt"] == b"2"


def test_objects_of_others_under_a_models_name_stay_when_it_is_taken_back(files: Watched, tmp_path: Path) -> None:
    files.pipe_file("/models/count/notes/mine.txt", b"mine")
    store = ObjectStore(files, "/models")
    (release, *_) = model_versions(write_counting(tmp_path, 1))
    undo: list[Any] = []
    store.publish(release, 1, 2, undo)
    for step in reversed(undo):
        step()
    assert set(files.store) == {"/models/count/notes/mine.txt"}
