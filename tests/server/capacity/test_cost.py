"""The cost of a run, fitted to timed ones."""

from __future__ import annotations

import pytest

from tbgen.server.capacity.cost import RunCost, TimedRun, fitted_cost

KINDS = [(1, 10), (1, 80), (1, 160), (1, 1280), (8, 240), (16, 480)]  # requests, tokens


def runs_of(cost: RunCost, *errors: float) -> list[TimedRun]:
    """A run of each kind, that takes longer than it should by these shares."""
    seconds = [cost.seconds(*kind) * (1 + error) for kind, error in zip(KINDS, errors, strict=True)]
    return [TimedRun(*kind, each) for kind, each in zip(KINDS, seconds, strict=True)]


def test_a_cost_is_found_again() -> None:
    cost = RunCost(run=0.012, request=0.0004, token=0.001)
    found = fitted_cost(runs_of(cost, 0, 0, 0, 0, 0, 0))
    assert (found.run, found.request, found.token) == pytest.approx((cost.run, cost.request, cost.token))
    assert found.error(TimedRun(1, 10, cost.seconds(1, 10) / 2)) == pytest.approx(1)


def test_short_runs_count_like_long_ones() -> None:
    found = fitted_cost(runs_of(RunCost(run=0.012, request=0.0004, token=0.001), 0, 0, 0, 0.2, 0, 0))
    assert found.seconds(1, 10) == pytest.approx(0.0224, rel=0.1)


def test_nothing_costs_less_than_nothing() -> None:
    found = fitted_cost([TimedRun(1, 10, 0.01), TimedRun(1, 100, 0.2), TimedRun(4, 400, 0.8)])
    assert min(found.run, found.request, found.token) >= 0
    assert found.token > 0


def test_one_run_is_enough_for_a_cost() -> None:
    assert fitted_cost([TimedRun(1, 10, 0.5)]).seconds(1, 10) == pytest.approx(0.5)
