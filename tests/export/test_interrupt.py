"""Ctrl-C interrupts once: what comes while that is on its way changes nothing, what comes after one got lost does."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tbgen.export.files import whole_folder
from tbgen.export.interrupt import interrupted_once
from tbgen.generator.publishing import staging_folder


@pytest.fixture(autouse=True)
def pythons_own_handler() -> Iterator[None]:
    """As in a new process: commands that other tests ran in this one have left theirs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_second_one_is_passed_over_while_the_first_is_handled() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interrupted_once():
        try:
            ctrl_c()
        finally:
            ctrl_c()
            done.append("cleaned up")
    assert done == ["cleaned up"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_once_it_was_handled_or_lost_the_next_one_interrupts_again() -> None:
    seen = 0
    with interrupted_once():
        for _ in range(3):
            with suppress(KeyboardInterrupt):
                ctrl_c()
                seen += 1
    assert seen == 0


@pytest.mark.parametrize("write", [whole_folder, staging_folder])
def test_clean_up_that_is_interrupted_leaves_nothing(
    write: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def interrupted(*arguments: object, **options: object) -> None:
        ctrl_c()
        remove(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt), write(tmp_path / "made") as folder:  # type: ignore[operator]
        (folder / "file").write_text("", encoding="utf-8")
        ctrl_c()
    assert list(tmp_path.iterdir()) == []


def test_the_handlers_of_others_and_other_threads_are_left_alone() -> None:
    mine = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupted_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, mine)

    def elsewhere() -> None:
        with interrupted_once():
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        done.append(True)

    done: list[bool] = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done == [True]
