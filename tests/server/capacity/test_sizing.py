"""The fewest replicas that keep a goal."""

from __future__ import annotations

import numpy as np
import pytest

from tbgen.export.errors import UserError
from tbgen.server.capacity.cost import RunCost
from tbgen.server.capacity.simulation import SPLITS, Replica, Texts
from tbgen.server.capacity.sizing import Fleet, Goal, Sizing

TEXTS = Texts(np.array([10.0, 30.0, 80.0]), np.zeros(3))


@pytest.fixture
def sizing() -> Sizing:
    """Replicas that answer 100 texts a second, one at a time: 10 ms each."""
    return Sizing(Replica(RunCost(run=0.01, request=0, token=0)), TEXTS, requests=5_000)


def fleets(sizing: Sizing, goal: Goal) -> dict[str, list[Fleet]]:
    found = sizing.fleets(goal)
    return {split: [fleet for fleet in found if fleet.split == split] for split in SPLITS}


def test_the_fewest_replicas_and_one_more(sizing: Sizing) -> None:
    goal = Goal(rate=250, p99=0.06)
    for split, (fewest, one_more) in fleets(sizing, goal).items():
        assert fewest.replicas + 1 == one_more.replicas
        assert fewest.expected
        assert fewest.expected.p99 <= goal.p99
        assert not sizing.keeps(goal, fewest.replicas - 1, split)
        assert one_more.one_lost == fewest.expected
        assert fewest.most >= goal.rate
        assert sizing.keeps(Goal(fewest.most, goal.p99), fewest.replicas, split)


def test_who_deals_out_well_needs_fewer(sizing: Sizing) -> None:
    found = fleets(sizing, Goal(rate=900, p99=0.03))
    assert found["least"][0].replicas < found["random"][0].replicas


def test_a_lost_one_may_be_too_many(sizing: Sizing) -> None:
    fewest, one_more = fleets(sizing, Goal(rate=95, p99=10))["least"]
    assert (fewest.replicas, fewest.one_lost) == (1, None)
    assert one_more.one_lost == fewest.expected


def test_what_one_text_takes_no_number_of_replicas_takes_away(sizing: Sizing) -> None:
    with pytest.raises(UserError, match=r"no number of replicas answers 99 of 100 texts within 9 ms: one .* 10\.0 ms"):
        sizing.fleets(Goal(rate=10, p99=0.009))


def test_nor_does_it_where_none_may_ever_wait(sizing: Sizing) -> None:
    with pytest.raises(UserError, match=r"10 ms is so close to what one text alone takes"):
        sizing.fleets(Goal(rate=1, p99=0.01))
