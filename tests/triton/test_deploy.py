"""Upgrades of a running server under load: no request fails, broken versions are taken back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tritonclient.grpc as grpc
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.server.client.connection import Connection
from tbgen.server.deploy.deploy import deploy, planned, served_from_elsewhere
from tbgen.server.deploy.live import Live
from tbgen.server.deploy.stores import store_from
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports
from tests.triton.broken.changes import edit
from tests.triton.counting import ask, under_load, write_counting
from tests.triton.good_models import python

MODES = {
    "explicit": ["--model-control-mode=explicit", "--load-model=*"],
    "poll": ["--model-control-mode=poll", "--repository-poll-secs=1"],
}
UPGRADES = 20


@contextmanager
def serving(repository: Path, mode: str) -> Iterator[EmbeddedServer]:
    with server_on_free_ports(repository, extra_arguments=MODES[mode]) as server:
        yield server


def put(source: Path, target: str, url: str, *, seconds: float = 60) -> list[str]:
    """Deploy to a running server; the models that were asked."""
    with Connection(url, seconds=seconds) as connection, store_from(target) as store:
        live = Live(connection, seconds=seconds)
        return deploy(planned(source, store, live), store, live)


def tree(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("mode", MODES)
def test_upgrades_under_load(mode: str, tmp_path: Path) -> None:
    target = write_counting(tmp_path / "target", 0)
    numbers = [float(number) for number in range(UPGRADES + 1)]
    with serving(target, mode) as server, under_load(server.grpc_url) as asking:
        for number in numbers[1:]:
            source = write_counting(tmp_path / "source", number, instances=1 + int(number) % 2)
            assert put(source, str(target), server.grpc_url) == ["count", "count_ensemble"]
        before = tree(target)
        for broken, reason in (
            ("no number", "could not convert string to float: 'no number'"),
            ("inf", "NaN or infinite"),
        ):
            write_counting(tmp_path / "source", broken)
            with pytest.raises(UserError) as error:
                put(tmp_path / "source", str(target), server.grpc_url)
            assert reason in error.value.message
            assert error.value.message.endswith("; everything is as before")
            assert tree(target) == before
        with grpc.InferenceServerClient(server.grpc_url) as client:
            assert ask(client, "count") == ask(client, "count_ensemble") == numbers[-1]
    assert asking.failures == []
    assert asking.requests > 100 * len(numbers)
    for answers in asking.answers.values():
        assert answers[: len(numbers)] == numbers
        assert answers[-1] == numbers[-1]
    assert [folder.name for folder in tmp_path.iterdir() if folder.name.startswith(".")] == []
    versions = sorted(int(folder.name) for folder in (target / "count").iterdir() if folder.is_dir())
    assert versions == [len(numbers) - 1, len(numbers)]


def test_a_server_that_neither_polls_nor_takes_orders_is_told_apart_soon(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    target = write_counting(tmp_path / "target", 0)
    before = tree(target)
    with server_on_free_ports(target) as server, Connection(server.grpc_url) as connection:
        live = Live(connection, seconds=60, notice=1)
        store = store_from(str(target))
        assert served_from_elsewhere(planned(source, store, live), live) == []
        with store, pytest.raises(UserError, match="was not noticed by the server within 1 s; it must poll"):
            deploy(planned(source, store, live), store, live)
        (tmp_path / "elsewhere").mkdir()
        wrong = store_from(str(tmp_path / "elsewhere"))
        assert served_from_elsewhere(planned(source, wrong, live), live) == ["count", "count_ensemble"]
    assert tree(target) == before


def test_a_polling_server_that_loads_another_model_is_waited_for(tmp_path: Path) -> None:
    target, source = write_counting(tmp_path / "target", 0), write_counting(tmp_path / "source", 1)
    with serving(target, "poll") as server, Connection(server.grpc_url) as connection:
        live, store = Live(connection, seconds=60, notice=3), store_from(str(target))
        loads_for(8, python(tmp_path / "new" / "slow"))
        (tmp_path / "new" / "slow").rename(target / "slow")
        while "LOADING" not in [state for _, _, state, _ in live.index()]:
            time.sleep(0.1)
        hasty = Live(connection, seconds=2)
        with store, pytest.raises(UserError, match=r"within 2 s, which still loads slow; .*; everything is as before"):
            hasty.polls = True
            deploy(planned(source, store, hasty), store, hasty)
        assert deploy(planned(source, store, live), store, live) == ["count", "count_ensemble"]


def loads_for(seconds: int, model: Path) -> None:
    """Let a model sleep while it loads."""
    edit("        self.name", f"        __import__('time').sleep({seconds})\n        self.name", "1/model.py")(model)


def test_a_new_model_and_an_unchanged_one(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    target = write_counting(tmp_path / "target", 1)
    (target / "other").mkdir()
    for file in ("config.pbtxt", "1/model.py", "1/number.txt"):
        (target / "other" / file).parent.mkdir(exist_ok=True)
        (target / "other" / file).write_bytes((source / "count" / file).read_bytes())
    with serving(target, "explicit") as server:
        (source / "fresh").mkdir()
        for file in ("config.pbtxt", "1/model.py"):
            (source / "fresh" / file).parent.mkdir(exist_ok=True)
            (source / "fresh" / file).write_bytes((source / "count" / file).read_bytes())
        with pytest.raises(UserError, match=r"number\.txt"):
            put(source, str(target), server.grpc_url)
        assert sorted(folder.name for folder in target.iterdir()) == ["count", "count_ensemble", "other"]
        (source / "fresh" / "1" / "number.txt").write_text("7", encoding="utf-8")
        result = CliRunner().invoke(main, ["deploy", "copy", str(source), str(target), "--url", server.grpc_url])
        assert result.exit_code == 0, result.output
        assert "Asked in Korean with emoji, and answered: count, fresh, count_ensemble" in result.output
        with grpc.InferenceServerClient(server.grpc_url) as client:
            assert ask(client, "fresh") == 7
    assert {folder.name for folder in (target / "count").iterdir()} >= {"1", "config.pbtxt"}
    assert not (target / "count" / "2").exists()
