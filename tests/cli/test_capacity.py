"""How `tbgen capacity` shows what it found."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.cli.show_capacity import print_capacity
from tbgen.server.bench.gpu import GpuUse
from tbgen.server.bench.machine import CpuUse
from tbgen.server.capacity.cost import RunCost, TimedRun
from tbgen.server.capacity.measurement import Measured
from tbgen.server.capacity.report import CapacityReport, Check, Size
from tbgen.server.capacity.simulation import Replica, Texts
from tbgen.server.capacity.sizing import Goal, Sizing, Waiting

COST = RunCost(run=0.01, request=0.0002, token=0.001)


@pytest.fixture
def report() -> CapacityReport:
    """Of a made-up replica with a GPU."""
    goal, tokens = Goal(rate=500, p99=0.3), np.array([10.0, 30.0, 80.0])
    replica, texts = Replica(COST, most=128, way=0.002), Texts(tokens, tokens)
    runs = [TimedRun(1, 30, 0.04), TimedRun(12.4, 372, 0.5)]
    cpu, gpu = CpuUse(2, 0.2, 0.2, 1.9, 0.0), GpuUse(0.4, 2e9, 1)
    measured = Measured("kcbert_onnx_bls", "kcbert_onnx_bls", "tokens", replica, texts, runs, cpu, gpu)
    sizing = Sizing(replica, texts, requests=2_000)
    waiting = Waiting(0.0407, 0.1512, 0.755)
    check = Check(22.5, 540, 0, waiting, waiting, (0.12, 0.18))
    return CapacityReport(goal, measured, Size(2, 1.9e8), sizing.capacity, sizing.fleets(goal), [check])


def test_the_tables_fit_a_narrow_terminal(
    report: CapacityReport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_capacity(report, price=0.5)
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert "kcbert_onnx_bls: 500 requests/s, 99 of 100 within 300 ms" in printed
    said = " ".join(printed.split())
    assert "on 2 cores, 190 MB, 1 GPU with 2,000 MB taken" in said
    assert "22.5/s 540 0 40.7 151 76% simulated 40.7 151 76% 9 of 10 such loops 120 to 180" in said
    assert "takes 10.00 ms, 0.200 ms for each request and 1.0000 ms for each of its tokens: fitted to 2 points" in said
    assert "the load took 0.2 of 2 cores from the replica" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rate", "1", "--p99", "fast"], "'fast' is not a time such as 100ms or 0.5s"),
        (["--rate", "1", "--p99", "0ms"], "'0ms' is not a time such as 100ms or 0.5s"),
        (["--rate", "0", "--p99", "1s"], "0.0 is not in the range x>0"),
        (["--rate", "1"], "Missing option '--p99'"),
    ],
)
def test_goals_that_are_none(words: list[str], says: str) -> None:
    done = CliRunner().invoke(main, ["capacity", "kcbert", *words])
    assert done.exit_code == 2
    assert says in done.stderr
