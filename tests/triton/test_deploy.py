"""Upgrades of a running server under load: no request fails, broken versions are taken back."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import tritonclient.grpc as grpc
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.server.client.connection import Connection
from tbgen.server.deploy.deploy import deploy, deployment_plan, served_from_elsewhere
from tbgen.server.deploy.live import Live
from tbgen.server.deploy.stores import store_from
from tests.serving import serving
from tests.triton.broken.changes import edit
from tests.triton.counting import ask, under_load, write_counting
from tests.triton.good_models import python
from tests.waiting import FOREVER, wait_until

MODES = {
    "explicit": ["--model-control-mode=explicit", "--load-model=*"],
    "poll": ["--model-control-mode=poll", "--repository-poll-secs=1"],
}


def put(source: Path, target: str, url: str, *, seconds: float = FOREVER) -> list[str]:
    """Deploy to a running server; the models that were asked."""
    with Connection(url, seconds=seconds) as connection, store_from(target) as store:
        live = Live(connection, seconds=seconds)
        return deploy(deployment_plan(source, store, [live]), store, [live])


def tree(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("upgrades", [4, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize("mode", MODES)
def test_upgrades_under_load(mode: str, upgrades: int, tmp_path: Path) -> None:
    target = write_counting(tmp_path / "target", 0)
    numbers = [float(number) for number in range(upgrades + 1)]
    with serving(target, extra_arguments=MODES[mode]) as server, under_load(server.grpc_url) as load:
        load.answered_with(numbers[0])
        for number in numbers[1:]:
            source = write_counting(tmp_path / "source", number, instances=1 + int(number) % 2)
            assert put(source, str(target), server.grpc_url) == ["count", "count_ensemble"]
            load.answered_with(number)
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
        load.answered_with(numbers[-1])
    for asker in load.askers:
        assert asker.answers[: len(numbers)] == numbers
        assert asker.answers[len(numbers) :] in ([], [float("inf"), numbers[-1]])
    assert [folder.name for folder in tmp_path.iterdir() if folder.name.startswith(".")] == []
    versions = sorted(int(folder.name) for folder in (target / "count").iterdir() if folder.is_dir())
    assert versions == [len(numbers) - 1, len(numbers)]


def test_a_server_that_neither_polls_nor_takes_orders_is_told_apart_soon(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    target = write_counting(tmp_path / "target", 0)
    before = tree(target)
    none = ["--model-control-mode=none"]
    with serving(target, extra_arguments=none) as server, Connection(server.grpc_url) as connection:
        live = Live(connection, seconds=FOREVER, notice=1)
        store = store_from(str(target))
        assert served_from_elsewhere(deployment_plan(source, store, [live]), live) == []
        with store, pytest.raises(UserError, match=r"was not noticed by the server at .* within 1 s; it must poll"):
            deploy(deployment_plan(source, store, [live]), store, [live])
        (tmp_path / "elsewhere").mkdir()
        wrong = store_from(str(tmp_path / "elsewhere"))
        assert served_from_elsewhere(deployment_plan(source, wrong, [live]), live) == ["count", "count_ensemble"]
    assert tree(target) == before


def test_a_polling_server_that_loads_another_model_is_waited_for(tmp_path: Path) -> None:
    target, source = write_counting(tmp_path / "target", 0), write_counting(tmp_path / "source", 1)
    go = tmp_path / "go"
    with serving(target, extra_arguments=MODES["poll"]) as server, Connection(server.grpc_url) as connection:
        store = store_from(str(target))
        loads_when_there(go, python(tmp_path / "new" / "slow"))
        (tmp_path / "new" / "slow").rename(target / "slow")
        live = Live(connection, seconds=FOREVER)
        wait_until(lambda: "LOADING" in [state for _, _, state, _ in live.index()])
        hasty = Live(connection, seconds=2, notice=0)  # what passes while another model is loaded does not count
        with store, pytest.raises(UserError, match=r"within 2 s, which still loads slow; .*; everything is as before"):
            hasty.polls = True
            deploy(deployment_plan(source, store, [hasty]), store, [hasty])
        go.touch()
        assert deploy(deployment_plan(source, store, [live]), store, [live]) == ["count", "count_ensemble"]


def test_several_servers_of_one_place_are_told_and_taken_back_together(tmp_path: Path) -> None:
    source, target = write_counting(tmp_path / "source", 1), write_counting(tmp_path / "target", 0)
    command = ["deploy", "copy", str(source), str(target)]
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(target, extra_arguments=MODES["explicit"])) for _ in range(2)]
        clients = [stack.enter_context(grpc.InferenceServerClient(each.grpc_url)) for each in servers]
        command += [word for each in servers for word in ("--url", each.grpc_url)]
        assert CliRunner().invoke(main, command).exit_code == 0
        assert [ask(client, "count_ensemble") for client in clients] == [1, 1]
        write_counting(source, 2)
        deaf = stack.enter_context(serving(target, extra_arguments=["--model-control-mode=none"]))
        command = [*command[:4], "--url", servers[0].grpc_url, "--url", deaf.grpc_url, "--poll-secs", "1"]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 1
        assert f"was not noticed by the server at grpc://{deaf.grpc_url} within 1 s" in done.output
        assert "; everything is as before" in done.output
        assert ask(clients[0], "count_ensemble") == 1  # which had the new one already


def loads_when_there(file: Path, model: Path) -> None:
    """Let a model be loaded only when a file is there."""
    wait = f"""
        import pathlib, time
        while not pathlib.Path({str(file)!r}).exists():
            time.sleep(0.01)
"""
    edit("        self.name", f"{wait}        self.name", "1/model.py")(model)


def test_a_new_model_and_an_unchanged_one(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    target = write_counting(tmp_path / "target", 1)
    (target / "other").mkdir()
    for file in ("config.pbtxt", "1/model.py", "1/number.txt"):
        (target / "other" / file).parent.mkdir(exist_ok=True)
        (target / "other" / file).write_bytes((source / "count" / file).read_bytes())
    with serving(target, extra_arguments=MODES["explicit"]) as server:
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
