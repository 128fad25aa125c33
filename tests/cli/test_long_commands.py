"""What a command says that takes long: what runs, where it is said to no terminal, and what an interrupt has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbgen.cli import show
from tests.export.stopped import Stopped
from tests.waiting import wait_until


def test_what_takes_long_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "PATIENCE", 0.01)
    said: list[str] = []
    with show.said_late("Reading the files"):
        wait_until(lambda: said.append(capsys.readouterr().err) or any(said))
    assert "".join(said) == "Reading the files\n"


def test_what_is_quick_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with show.said_late("Reading the files"):
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("place", "command", "said"),
    [
        ("tbgen.server.bench.texts:corpus_from_file", "bench m --url 1", "nothing was measured as yet"),
        ("tbgen.server.tune.tune:tune", "tune m -r models", "'models' is as it was; nothing was measured as yet"),
        ("tbgen.generator.bill:bill_of_repository", "sbom models", "nothing half-written was left"),
    ],
)
def test_an_interrupt_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, command: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "m").mkdir(parents=True)
    with Stopped(place, *command.split()) as run:
        run.reaches(place.partition(":")[2])
        run.interrupt()
        status, last = run.ends()
        assert (status, last.startswith(f"Error: interrupted; {said}")) == (1, True), last
