"""An ensemble's requests are numbered before its engine and looked for behind it; each process has the same page."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tbgen.backends import ensemble_limit
from tbgen.backends.clients import Client, GoneError
from tbgen.backends.ensemble_limit import Entry, Exit

SECOND = 10**9
ALL_OUTPUTS = ("input_ids", "tbgen_turn")


class Server:
    """The two steps as models of one server have them, and a clock that stands."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, instances: int = 1) -> None:
        self.now = 1000 * SECOND
        monkeypatch.setattr(ensemble_limit.time, "monotonic_ns", lambda: self.now)
        monkeypatch.setattr(ensemble_limit, "_PROCESS", folder)
        monkeypatch.setattr(ensemble_limit, "_MEMORY", folder)
        region = b"prefix-2f0e4c3a-1b7d-4f6e-9a55-0c1d2e3f4a5b"
        (folder / "ns").mkdir(exist_ok=True)
        (folder / "ns" / "pid").touch()
        (folder / "cmdline").write_bytes(b"/a/triton_python_backend_stub\0/m/1/model.py\0" + region + b"\x001048576\0")
        self.entries = [Entry(folder, name="mine", limit=4) for _ in range(instances)]
        self.exit = Exit(folder, name="mine")
        for step in (*self.entries, self.exit):
            step.load(0)

    def enters(self, *items: int, wanted: Sequence[str] = ALL_OUTPUTS, instance: int = 0) -> list[np.ndarray | None]:
        """A turn for each request of so many items; None for one that is refused."""
        clients = [client(each, wanted) for each in items]
        given = self.entries[instance](clients=[each for each in clients for _ in range(each.items)])["tbgen_turn"]
        turns = np.split(given, np.cumsum(items)[:-1])
        return [None if each.left else turn for each, turn in zip(clients, turns, strict=True)]

    def leaves(self, turn: np.ndarray | None) -> None:
        """A request comes to the other end."""
        tensors = [] if turn is None else [SimpleNamespace(name=lambda: "tbgen_turn", as_numpy=lambda: turn)]
        self.exit(clients=[SimpleNamespace(request=SimpleNamespace(inputs=lambda: tensors))])

    def overloaded(self) -> None:
        """An item of 32 took 100 ms, and 40 have waited for a second."""
        (turn,) = self.enters(32)
        self.now += 32 * SECOND // 10
        self.leaves(turn)
        assert not any(turn is None for turn in self.enters(*[1] * 40))
        self.now += SECOND


def client(items: int, wanted: Sequence[str]) -> Client:
    request = SimpleNamespace(requested_output_names=lambda: wanted, timeout=lambda: 0, trace=None)
    return Client(request, lambda _: ({"input_text": np.ones((items, 1))}, "{}"))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


def test_each_item_has_the_number_of_its_request_and_those_not_yet_seen(server: Server) -> None:
    first, second = server.enters(2, 3)
    assert first is not None
    assert second is not None
    assert first.tolist() == [[2, 2, server.now]] * 2
    assert second.tolist() == [[5, 5, server.now]] * 3
    server.leaves(first)
    (third,) = server.enters(1)
    assert third is not None
    assert third.tolist() == [[6, 4, server.now]]


def test_what_would_wait_for_more_than_half_of_the_limit_is_refused(server: Server) -> None:
    server.overloaded()
    crowd = [client(1, ALL_OUTPUTS) for _ in range(2)]
    server.entries[0](clients=crowd)
    assert [type(each.left) for each in crowd] == [GoneError, GoneError]
    assert crowd[0].left is not None
    assert crowd[0].left.args == (
        "more is asked than it answers, the wait may be over 4 s: ask again later",
        "UNAVAILABLE",
    )
    assert server.entries[0].counts == {"refused": 2}


def test_who_asks_the_tokenizer_alone_is_neither_refused_nor_counted(server: Server) -> None:
    server.overloaded()
    (turn,) = server.enters(4, wanted=["input_ids"])
    assert turn is not None
    assert not turn.any()
    assert server.entries[0].values[0] == 72


def test_what_failed_in_between_is_overtaken(server: Server) -> None:
    server.overloaded()
    server.leaves(np.array([[72, 40, server.now - SECOND]]))  # the last of 40 alone
    turns = server.enters(*[1] * 32)
    assert not any(turn is None for turn in turns)


def test_without_news_for_long_all_is_let_through(server: Server) -> None:
    """The head has died, or all that went in was lost: nobody is refused for ever."""
    server.overloaded()
    assert server.enters(1) == [None]
    server.now += 13 * SECOND  # more than the limit, and than four runs of 32 such items
    (turn,) = server.enters(1)
    assert turn is not None


def test_32_items_and_slow_first_runs_refuse_nobody(server: Server) -> None:
    (turn,) = server.enters(1)
    server.now += 3 * SECOND
    server.leaves(turn)
    assert not any(turn is None for turn in server.enters(*[1] * 100))  # none of them has waited yet
    server.leaves(np.array([[70, 69, server.now]]))
    server.now += 3 * SECOND
    assert not any(turn is None for turn in server.enters(1))  # behind 31


def test_what_an_item_took_alone_refuses_nobody_before_others_have_waited_for_half_of_the_limit(server: Server) -> None:
    """A machine that stands still for a second has no overload: then 32 go in one run."""
    (turn,) = server.enters(1)
    server.now += SECOND // 5
    server.leaves(turn)
    server.enters(*[1] * 40)
    server.now += 19 * SECOND // 10
    (turn,) = server.enters(1)
    assert turn is not None
    server.now += SECOND // 5
    assert server.enters(1) == [None]


def test_1024_items_wait_at_most(server: Server) -> None:
    (turn,) = server.enters(1)
    server.now += 1000
    server.leaves(turn)
    turns = server.enters(*[32] * 33)
    assert [index for index, turn in enumerate(turns) if turn is None] == [32]


def test_two_instances_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path, monkeypatch, instances=2)
    server.overloaded()
    (turn,) = server.enters(1, instance=1)  # it has sent none itself
    assert turn is not None
    assert turn.tolist() == [[73, 41, server.now]]
    server.now += SECOND
    assert server.enters(1, instance=1) == [None]


@pytest.mark.parametrize(
    "row", [[2**63 - 1, 1, 1], [-1, -1, -1], [72, 0, 1], [72, 40, 2**62], [72, 2**60, 1], [0, 0, 0]]
)
def test_a_turn_of_a_strangers_own_changes_nothing(server: Server, row: list[int]) -> None:
    server.overloaded()
    before = server.exit.values.tolist()
    server.leaves(np.array([row]))
    server.leaves(None)
    assert server.exit.values.tolist() == before
    assert server.enters(1) == [None]


def test_what_an_item_takes_follows_a_slower_engine(server: Server) -> None:
    turns: list[Any] = server.enters(*[1] * 200)
    for each in turns[:100]:
        server.now += SECOND // 100
        server.leaves(each)
    assert server.exit.values[2] == SECOND // 100
    for each in turns[100:]:
        server.now += SECOND // 10
        server.leaves(each)
    assert server.exit.values[2] == SECOND // 10


def test_servers_of_two_containers_that_share_memory_have_pages_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path, monkeypatch)
    (tmp_path / "ns").rename(tmp_path / "first")  # the inode of a namespace stays its own
    other = Server(tmp_path, monkeypatch)
    server.enters(1)
    assert (server.exit.values[0], other.exit.values[0]) == (1, 0)


def test_outside_triton_there_is_no_page(tmp_path: Path) -> None:
    for step in (Entry(tmp_path, name="mine", limit=4), Exit(tmp_path, name="mine")):
        step.load(0)
        assert step.values is None
        assert {name: array.tolist() for name, array in step(clients=[]).items()} in ({"tbgen_turn": []}, {})
    assert [*tmp_path.iterdir()] == []


def test_where_there_is_no_room_for_the_page_models_serve_without_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ensemble_limit.os, "posix_fallocate", full)
    server = Server(tmp_path, monkeypatch)
    (turn,) = server.enters(1)
    assert turn is not None
    assert turn.tolist() == [[0, 0, 0]]
    server.leaves(turn)
    assert "mine: no limit under overload: [Errno 28] No space left" in capsys.readouterr().err
