"""A process of a model that dies is noticed, and the model comes back, in every control mode; so does the server."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tbgen.export.errors import UserError
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.embedded.stubs import Stubs
from tbgen.server.embedded.watch import ServerWatch
from tests.server import playground as play
from tests.server.test_embedded import ended
from tests.serving import serving
from tests.waiting import FOREVER, wait_until

MODES = {
    "none": (),
    "poll": ("--model-control-mode=poll", "--repository-poll-secs=1"),
    "explicit": ("--model-control-mode=explicit", "--load-model=*"),
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two Python models, and an ONNX model on the stand-in for its backend."""
    for name in ("measure", "other"):
        play.write_python(tmp_path / "models", name, f"max_batch_size: 4 {play.TEXT}")
    play.write_onnx(tmp_path / "models", "linear", play.linear(), f"max_batch_size: 4 {play.LINEAR}")
    return tmp_path / "models"


def kill_process_of(server: EmbeddedServer, model: str) -> None:
    """Kill it unseen: the server's own look at its processes has not been."""
    assert server.process
    stubs = Stubs(server.process.pid)
    stubs.look()
    process = next(number for number, folder in stubs.running.items() if folder.parent.name == model)
    os.kill(process, signal.SIGKILL)


def back(watch: ServerWatch, model: str, times: int = 1) -> bool:
    """Look once; whether the log says so often that the model is back."""
    watch.look()
    return sum(f"{model} is back after" in line for line in watch.server.log_lines()) == times


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_model_comes_back_and_the_others_stay(mode: str, repository: Path) -> None:
    with serving(repository, extra_arguments=MODES[mode]) as server:
        watch = ServerWatch(server)
        watch.look()
        assert server.stubs
        before = dict(server.stubs.running)
        models = {version.parent.name for version in before.values()}
        assert models == {"measure", "other", "linear"}
        for model in ("measure", "linear"):
            kill_process_of(server, model)
            wait_until(lambda model=model: back(watch, model))

        def kept() -> set[str]:
            watch.look()
            assert server.stubs
            return {version.parent.name for process, version in before.items() if process in server.stubs.running}

        wait_until(lambda: kept() <= {"other"} and server.stubs.models() == models)
        assert server.polls or kept() == {"other"}  # a poll also sees Python's new caches
        assert {model.state for model in server.models()} == {"READY"}


def test_a_process_that_dies_before_it_was_seen_comes_back_too(repository: Path) -> None:
    """Killed soon after its load, or after the server's start."""
    with serving(repository, extra_arguments=MODES["explicit"]) as server:
        watch = ServerWatch(server)
        for times in (1, 2, 3):
            kill_process_of(server, "measure")
            wait_until(lambda times=times: back(watch, "measure", times))
        assert server.running_models() == {"measure", "other", "linear"}


def test_a_polled_model_whose_process_dies_while_it_is_loaded_does_not_end_all_loads(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tbgen.server.embedded.watch._STUCK", 5.0)
    with serving(repository, log=tmp_path / "log", extra_arguments=MODES["poll"]) as server:
        watch = ServerWatch(server)
        once = tmp_path / "once"
        ends_once = f"try:\n    os.mkdir({str(once)!r})\n    os._exit(3)\nexcept FileExistsError: pass"
        (repository / "measure" / "1" / "model.py").write_text(
            f"import os\n{ends_once}\n{play.MEASURE}", encoding="utf-8"
        )
        kill_process_of(server, "measure")
        wait_until(lambda: watch.look() or (once.exists() and not watch.away))
        kill_process_of(server, "other")
        wait_until(lambda: watch.look() or back(watch, "other"))
        wait_until(lambda: watch.look() or server.running_models() == {"measure", "other", "linear"})


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("model", ["measure", "fresh"])
def test_a_polled_load_whose_process_dies_is_said_and_what_serves_stays(
    model: str, seen: bool, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new instance of a model that serves, or the first one of another."""
    monkeypatch.setattr("tbgen.server.embedded.watch._STUCK", 2.0)
    with serving(repository, extra_arguments=MODES["poll"]) as server:
        assert server.process and server.stubs
        watch, triton = ServerWatch(server), server.process.pid
        watch.look()
        others, before = Stubs(triton), server.stubs.running.keys()
        go = repository.parent / "go"
        waits = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\nos._exit(3)\n"
        play.write_python(repository.parent, "broken", f"max_batch_size: 4 {play.TEXT}", waits)
        if model == "measure":
            (repository.parent / "broken" / "1" / "model.py").replace(repository / "measure" / "1" / "model.py")
        else:
            (repository.parent / "broken").rename(repository / model)
        if seen:
            wait_until(lambda: not watch.look() and bool(server.stubs.running.keys() - before))  # type: ignore[union-attr]
        go.touch()
        wait_until(lambda: not others.look() and bool(others.dead))
        wait_until(
            lambda: watch.look() or any("loads nothing else that changes" in each for each in server.log_lines())
        )
        assert server.process.pid == triton
        assert server.call("GET", "/v2/models/measure/ready")[0] == 200
        served = {"measure", "other", "linear"}
        wait_until(lambda: not watch.look() and not watch.away and server.running_models() == served)


def test_where_the_folder_of_a_polled_model_cannot_be_touched_the_server_is_started_again(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with serving(repository, extra_arguments=MODES["poll"]) as server:
        watch = ServerWatch(server)
        watch.look()
        monkeypatch.setattr("tbgen.server.embedded.watch.reload", refused)
        kill_process_of(server, "measure")
        wait_until(watch.look)
        assert server.running_models() == {"measure", "other", "linear"}


def test_a_server_that_was_killed_is_started_again_but_not_for_ever(repository: Path, tmp_path: Path) -> None:
    with serving(repository, log=tmp_path / "log") as server:
        watch = ServerWatch(server)
        for _ in range(2):
            assert server.process
            session = server.process.pid
            server.process.popen.kill()
            wait_until(watch.look)
            ended(session)
            assert server.ready()
        assert "Triton ended by itself: tritonserver was killed by SIGKILL" in (tmp_path / "log").read_text("utf-8")
        server.process.popen.kill()
        assert server.process.wait(FOREVER)
        watch.short_lives = 2  # however long the machine took
        watch.started += FOREVER
        with pytest.raises(UserError, match="was killed by SIGKILL"):
            watch.look()


@pytest.mark.parametrize("times", [1, 3])
def test_a_server_that_aborts_while_it_is_started_again_is_tried_again(
    times: int, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(repository, log=tmp_path / "log") as server:
        watch, waits, aborts = ServerWatch(server), server.wait_until_ready, iter(range(times))

        def aborted(*arguments: Any) -> None:
            if next(aborts, None) is not None:
                os.kill(server.process.pid, signal.SIGABRT)  # type: ignore[union-attr]
            waits(*arguments)

        monkeypatch.setattr(server, "wait_until_ready", aborted)
        watch.started -= FOREVER  # it has long been served
        os.kill(server.process.pid, signal.SIGKILL)  # type: ignore[union-attr]
        if times == 3:
            with pytest.raises(UserError, match="tritonserver was killed by SIGABRT"):
                wait_until(watch.look)
        else:
            wait_until(watch.look)
            assert server.ready()
            assert any(
                "Triton did not start: tritonserver was killed by SIGABRT" in line for line in server.log_lines()
            )


def test_a_server_without_a_log_leaves_none_where_it_was_started(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(repository) as server:
        watch, starts = ServerWatch(server), server.start
        refusals = iter([UserError("no room")])

        def refused(**settings: Any) -> None:
            for each in refusals:
                raise each
            starts(**settings)

        monkeypatch.setattr(server, "start", refused)
        monkeypatch.chdir(tmp_path)
        os.kill(server.process.pid, signal.SIGKILL)  # type: ignore[union-attr]
        wait_until(watch.look)
        assert any("Triton did not start: no room" in line for line in server.log_lines())
        assert [*tmp_path.iterdir()] == [repository]


def test_a_model_that_does_not_load_again_is_said_once_with_its_reason(repository: Path) -> None:
    with serving(repository) as server:
        watch = ServerWatch(server)
        (repository / "measure" / "1" / "model.py").write_text("raise ValueError('상한가')", encoding="utf-8")
        kill_process_of(server, "measure")
        wait_until(lambda: watch.look() or any("measure does not come back" in each for each in server.log_lines()))
        for _ in range(3):
            watch.look()
        said = [each for each in server.log_lines() if each.startswith("tbgen: ") and "measure" in each]
        assert any("ValueError: 상한가" in each for each in said)
        assert sum("a process of measure died" in each for each in said) == 1


def test_a_model_whose_process_dies_while_it_is_loaded_keeps_no_other_away(repository: Path) -> None:
    with serving(repository, extra_arguments=MODES["explicit"]) as server:
        watch = ServerWatch(server)
        (repository / "measure" / "1" / "model.py").write_text("import os\nos._exit(3)", encoding="utf-8")
        kill_process_of(server, "measure")
        wait_until(lambda: watch.look() or any("measure does not come back" in each for each in server.log_lines()))
        kill_process_of(server, "other")
        wait_until(lambda: back(watch, "other"))
        assert sum("a process of measure died" in each for each in server.log_lines()) == 1


def test_a_process_that_is_ended_is_no_dead_one(repository: Path) -> None:
    with serving(repository) as server:
        assert server.process
        stubs = Stubs(server.process.pid)
        stubs.look()
        assert stubs.models() == {"measure", "other", "linear"}
        server.call("POST", "/v2/repository/models/measure/unload")
        wait_until(lambda: not stubs.look() and stubs.models() == {"other", "linear"})
        assert not stubs.dead
