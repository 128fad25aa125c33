"""Queues with known answers: what is simulated must wait as long as the closed forms say."""

from __future__ import annotations

import numpy as np
import pytest

from tbgen.server.capacity.cost import RunCost
from tbgen.server.capacity.simulation import Outcome, Replica, Texts, capacity, simulate

MANY = 200_000
A_SECOND_A_TOKEN = RunCost(run=0, request=0, token=1)


def texts(*tokens: float) -> Texts:
    return Texts(np.array(tokens), np.array(tokens))


def exponential_texts() -> Texts:
    """Texts whose runs take a second on average, of an exponential distribution."""
    places = (np.arange(100_000) + 0.5) / 100_000
    tokens = -np.log(1 - places)
    return Texts(tokens / tokens.mean(), tokens)


def waiting(found: Outcome) -> float:
    """The mean seconds before a run that takes one second on average."""
    return float(found.latencies.mean()) - 1


@pytest.mark.parametrize("rate", [0.4, 0.7])
def test_equal_runs_wait_as_in_m_d_1(rate: float) -> None:
    found = simulate(Replica(A_SECOND_A_TOKEN), texts(1), rate, requests=MANY)
    assert waiting(found) == pytest.approx(rate / (2 * (1 - rate)), rel=0.03)
    assert found.busy == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize("rate", [0.4, 0.7])
def test_exponential_runs_wait_as_in_m_m_1(rate: float) -> None:
    found = simulate(Replica(A_SECOND_A_TOKEN), exponential_texts(), rate, requests=MANY)
    assert waiting(found) == pytest.approx(rate / (1 - rate), rel=0.03)
    assert found.quantile(0.99) == pytest.approx(np.log(100) / (1 - rate), rel=0.06)


def test_two_instances_wait_as_in_m_m_2() -> None:
    found = simulate(Replica(A_SECOND_A_TOKEN, instances=2), exponential_texts(), 1.4, requests=MANY)
    assert waiting(found) == pytest.approx(0.7**2 / (1 - 0.7**2), rel=0.03)


def test_at_random_each_replica_is_a_queue_of_its_own() -> None:
    found = simulate(Replica(A_SECOND_A_TOKEN), texts(1), 2.1, replicas=3, split="random", requests=MANY)
    assert waiting(found) == pytest.approx(0.7 / (2 * 0.3), rel=0.03)


def test_the_fewest_in_flight_wait_less_than_at_random_and_more_than_in_one_queue() -> None:
    at_random, least = (
        simulate(Replica(A_SECOND_A_TOKEN), texts(1), 2.1, replicas=3, split=split, requests=20_000)
        for split in ("random", "least")
    )
    one_queue = simulate(Replica(A_SECOND_A_TOKEN, instances=3), texts(1), 2.1, requests=20_000)
    assert waiting(one_queue) < waiting(least) < waiting(at_random)
    assert least.busy == pytest.approx(0.7, rel=0.02)


def test_what_waits_shares_a_run() -> None:
    """A run of 2 s for one text and for a hundred: never slower than two runs, however many come."""
    alone, crowd = (
        simulate(Replica(RunCost(run=2, request=0, token=0), most=100), texts(1), rate, requests=5_000)
        for rate in (0.01, 5)
    )
    assert alone.quantile(0.5) == pytest.approx(2)
    assert crowd.latencies.max() <= 4
    assert crowd.busy == pytest.approx(1, rel=0.01)


def test_what_a_replica_answers_at_most() -> None:
    cost = RunCost(run=0.5, request=0.25, token=0.125)
    assert capacity(Replica(cost), texts(2)) == pytest.approx(1)
    assert capacity(Replica(cost, most=10), texts(2)) == pytest.approx(10 / 5.5, rel=0.01)
    assert capacity(Replica(cost, instances=2, most=10), texts(2)) == pytest.approx(20 / 5.5, rel=0.01)


def test_one_shape_alone_shares_a_run() -> None:
    cost = RunCost(run=1, request=0, token=0)
    mixed = texts(*([8, 16] * 50))
    assert capacity(Replica(cost, most=100), mixed) == pytest.approx(100, rel=0.01)
    assert capacity(Replica(cost, most=100, one_shape=True), mixed) == pytest.approx(2, rel=0.05)


def test_the_same_question_has_the_same_answer() -> None:
    replica = Replica(RunCost(0.1, 0.01, 0.001), most=8, way=0.002)
    first, second = (simulate(replica, texts(5, 50), 20, replicas=3, requests=1_000) for _ in range(2))
    assert np.array_equal(first.latencies, second.latencies)
