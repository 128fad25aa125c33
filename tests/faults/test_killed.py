"""Processes that are killed under load: a model's, Triton's, `tbgen serve` itself; and the end by a signal."""

from __future__ import annotations

import http.client
import random
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tbgen.server.embedded.leftovers import PREFIX, SHARED_MEMORY, sweep
from tbgen.server.embedded.log import loads_under_way
from tests.faults.served import TEXTS, Clients, Served, asked, kill
from tests.server.test_embedded import ended
from tests.triton.held import CODE, Asking, Held, pending, with_engine
from tests.waiting import FOREVER, wait_until

FRONTS = ("kcbert_onnx_bls", "kcbert_onnx_ensemble")
MODELS = ("kcbert_tokenizer", "kcbert_onnx", "kcbert_postprocess", "kcbert_onnx_bls")
TRITON_IS_BACK = "Triton is back after"
MODES = ("none", "poll", "explicit")


def prefix_of(triton: int) -> str:
    """How the names of what a server has in /dev/shm begin; others of this machine may come and go."""
    words = Path(f"/proc/{triton}/cmdline").read_text(encoding="utf-8").split("\0")
    (name,) = (word.partition("shm-region-prefix-name=")[2] for word in words if "shm-region-prefix-name=" in word)
    assert name.startswith(PREFIX)
    return name


def shared_memory(prefix: str) -> list[str]:
    return [file.name for file in SHARED_MEMORY.glob(f"{prefix}*")]


def killed_and_back(served: Served, clients: Clients, model: str) -> float | None:
    """Kill the process of a model; the seconds until every front model answers again what is sent later.

    None where Triton ended of it: a process that dies while it holds the lock of its shared memory takes it along.
    """
    wait_until(lambda: not loads_under_way(served.log.read_text("utf-8", errors="replace").splitlines()))
    said = (f"{model} is back after", TRITON_IS_BACK)
    times, restarts, began = served.says(*said), served.says(TRITON_IS_BACK), time.monotonic()
    kill(served.processes()[model])
    wait_until(lambda: served.says(*said) > times)
    back = time.monotonic()
    wait_until(lambda: {each.model for each in clients.answered(since=back)} == {*FRONTS})
    took = time.monotonic() - began
    if served.says(TRITON_IS_BACK) > restarts:
        return None
    assert [each for each in clients.failed() if each.sent > back and each.status] == []
    return took


def kill_each(repository: Path, log: Path, mode: str, count: int) -> dict[str, list[float]]:
    """Kill each model's process so often under load; the seconds that each was away, while Triton stayed."""
    served = Served(repository, log, mode)
    try:
        with Clients(served.http, FRONTS) as clients:
            rounds = {model: [killed_and_back(served, clients, model) for _ in range(count)] for model in MODELS}
        died, failed = served.says(TRITON_IS_BACK), clients.failed()
        broken = [each for each in failed if not (each.status == 500 and b"is not healthy" in each.body)]
        assert [each for each in broken if each.status or not died] == []
        print(f"{mode}: {len(failed)} of {len(clients.asked)} requests failed, Triton died {died} times")
        served.process.terminate()
        assert served.process.wait() == 0
    finally:
        served.kill()
    return {model: [each for each in seconds if each is not None] for model, seconds in rounds.items()}


def test_a_model_whose_process_is_killed_fails_what_is_in_flight_and_comes_back(
    sample_repository: Path, tmp_path: Path
) -> None:
    kill_each(sample_repository, tmp_path / "log", "none", 1)


@pytest.mark.soak
@pytest.mark.parametrize("mode", MODES)
def test_each_process_is_killed_20_times(mode: str, sample_repository: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    for model, seconds in kill_each(repository, tmp_path / "log", mode, 20).items():
        print(f"{mode}, {model} killed {len(seconds)} times: back after {max(seconds):.1f} s at most")
        assert max(seconds) < 10


def held_engine(repository: Path, outside: Path) -> None:
    """Put an engine into a repository that stands until it may go on, by files outside: what polls sees no change."""
    gate = outside / "kcbert_onnx" / "1"
    gate.mkdir(parents=True)
    (gate / "allowed").write_text("1000000", encoding="utf-8")
    with_engine(repository, CODE.replace("Path(__file__).parent", f"Path({str(gate)!r})"))


@pytest.mark.parametrize(
    ("mode", "number"),
    [
        ("none", signal.SIGTERM),
        ("explicit", signal.SIGTERM),
        # Triton may load the models anew while it polls, with the requests that were to be held.
        pytest.param("poll", signal.SIGTERM, marks=pytest.mark.soak),
        ("none", signal.SIGINT),
    ],
)
def test_a_signal_lets_what_is_in_flight_be_answered_and_takes_nothing_new(
    mode: str, number: signal.Signals, sample_repository: Path, tmp_path: Path
) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    held_engine(repository, tmp_path / "outside")
    served = Served(repository, tmp_path / "log", mode)
    try:
        idle, kept = (http.client.HTTPConnection("127.0.0.1", served.http) for _ in range(2))
        assert [asked(each, FRONTS[0], TEXTS[0]).status for each in (idle, kept)] == [200, 200]
        place: Any = SimpleNamespace(repository=tmp_path / "outside", **vars(served))
        held, triton = Held(place), served.triton
        answers = [Asking(place, FRONTS[0]).send([TEXTS[0]])[1]]
        held.stands_after(0)  # only then the other: sent together, one call of the engine might take both
        answers.append(Asking(place, FRONTS[1]).send([TEXTS[0]])[1])
        wait_until(lambda: pending(place, "kcbert_onnx") > 0)
        served.process.send_signal(number)
        wait_until(lambda: not any(served.ready(front) for front in FRONTS))
        assert not served.ready()
        assert asked(kept, FRONTS[0], TEXTS[0]).status == 404
        held.goes_on()
        assert [answer.get(timeout=FOREVER).as_numpy("label").shape for answer in answers] == [(1, 1), (1, 1)]
        assert served.process.wait() == 0
        assert not served.says("Timeout 25: Found")  # so Triton counts down the 30 s that it waits for idle connections
        ended(triton)
        idle.close()
        kept.close()
    finally:
        served.kill()


def test_a_second_signal_ends_it_at_once(sample_repository: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    held_engine(repository, tmp_path / "outside")
    served = Served(repository, tmp_path / "log")
    try:
        place: Any = SimpleNamespace(repository=tmp_path / "outside", **vars(served))
        held, triton = Held(place), served.triton
        held.send([TEXTS[0]])
        held.stands_after(0)
        served.process.terminate()
        wait_until(lambda: not served.ready())
        served.process.terminate()
        served.process.wait()
        assert held.rows() == 1  # the engine stood to the end
        ended(triton)
    finally:
        served.kill()


def ended_by_signal(repository: Path, log: Path, pause: float) -> tuple[int, float]:
    """SIGTERM under load: how many requests were sent before it, all of them answered, and the seconds to the end."""
    served = Served(repository, log)
    triton, prefix = served.triton, prefix_of(served.triton)
    try:
        with Clients(served.http, FRONTS) as clients:
            time.sleep(pause)
            told = time.monotonic()
            served.process.terminate()
            assert served.process.wait() == 0
            seconds = time.monotonic() - told
        before = [each for each in clients.asked if each.sent < told]
        assert [each for each in before if each.status != 200] == []
        assert {each.status for each in clients.failed()} <= {0, 404}  # refused: by Triton, or by nobody there
        ended(triton)
        assert shared_memory(prefix) == []
    finally:
        served.kill()
    return len(before), seconds


@pytest.mark.soak
def test_sigterm_under_load_20_times(sample_repository: Path, tmp_path: Path) -> None:
    pauses = random.Random(0)
    rounds = [ended_by_signal(sample_repository, tmp_path / "log", pauses.random()) for _ in range(20)]
    print(f"SIGTERM {len(rounds)} times: {sum(sent for sent, _ in rounds)} requests were sent before, none was lost;")
    print(f"  ended after {max(seconds for _, seconds in rounds):.1f} s at most")


@pytest.mark.parametrize("victim", ["tritonserver", "tbgen serve"])
def test_nothing_runs_on_after_a_kill_and_the_next_server_sweeps(
    victim: str, sample_repository: Path, tmp_path: Path
) -> None:
    kill_under_load(sample_repository, tmp_path / "log", victim)


def kill_under_load(repository: Path, log: Path, victim: str) -> float:
    """Kill a server under load; the seconds until none of its processes runs. Triton's comes back by itself."""
    served = Served(repository, log)
    triton, prefix = served.triton, prefix_of(served.triton)
    try:
        with Clients(served.http, FRONTS) as clients:
            assert shared_memory(prefix)
            began = time.monotonic()
            kill(triton if victim == "tritonserver" else served.process.pid)
            ended(triton)
            gone = time.monotonic() - began
            if victim == "tritonserver":
                wait_until(lambda: served.says(TRITON_IS_BACK))
                back = time.monotonic()
                wait_until(lambda: {each.model for each in clients.answered(since=back)} == {*FRONTS})
            clients.over.set()
        served.process.terminate()
        served.process.wait()
    finally:
        served.kill()

    def swept() -> bool:
        """Whether nothing is left; a server that starts beside this test may be sweeping."""
        sweep()
        return not shared_memory(prefix)

    wait_until(swept)
    return gone


@pytest.mark.soak
@pytest.mark.parametrize("victim", ["tritonserver", "tbgen serve"])
def test_servers_are_killed_20_times(victim: str, sample_repository: Path, tmp_path: Path) -> None:
    seconds = [kill_under_load(sample_repository, tmp_path / "log", victim) for _ in range(20)]
    print(f"{victim} killed {len(seconds)} times: none of its processes runs after {max(seconds):.2f} s")
