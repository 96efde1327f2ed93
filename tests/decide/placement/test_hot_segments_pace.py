"""How many segments one plan moves: few at first, more where that did no harm, and swaps in whole pairs."""

from __future__ import annotations

from typing import Any

import pytest

from milvus_tuning.plan import Reason, Verdict
from tests.builders import a_finished_operation
from tests.decide.placement.hot import a_move_operation, a_placement, a_policy, decided, freely, moves_of

SWAPS = [[0.23] * 8, [0.01] * 8, [0.01] * 8]
MANY = [[0.1] * 18, [], []]


def kept(ago: float) -> Any:
    return a_move_operation(ended_seconds_ago=ago, segments=(), verdict=Verdict.KEPT)


@pytest.mark.parametrize(
    ("most", "operations", "moved"),
    [
        pytest.param(8, [], 4, id="four at first"),
        pytest.param(3, [], 3, id="at most maxMovesPerPlan"),
        pytest.param(8, [kept(7200), kept(5400)], 6, id="one more after each that was kept"),
        pytest.param(5, [kept(7200), kept(5400)], 5, id="still at most maxMovesPerPlan"),
        pytest.param(8, [a_move_operation(verdict=Verdict.ROLLED_BACK)], 2, id="half after a roll-back"),
        pytest.param(
            8, [kept(7200), a_move_operation(outcome=Reason.PRECONDITION_CHANGED)], 2, id="half of five after a failure"
        ),
        pytest.param(8, [a_move_operation(outcome=None, verdict=None)], 4, id="one that is being verified"),
        pytest.param(8, [a_finished_operation(outcome=Reason.DRAIN_STUCK)], 4, id="what failed was another thing"),
    ],
)
def test_how_many_move_follows_from_what_became_of_the_last_plans(most: int, operations: Any, moved: int) -> None:
    found = decided(freely(MANY), a_policy(max_moves_per_plan=most), operations=operations)
    assert (found.reason, len(moves_of(found))) == (Reason.HOT_NODE, moved)


def test_a_cure_of_many_small_moves_is_worth_it_though_one_plan_does_a_part() -> None:
    found = decided(freely(MANY))
    assert found.outlook is not None
    assert found.outlook.busiest_percent_after == 70
    assert "4 of 12 moves now" in found.message


def test_within_a_limit_the_moves_are_the_best_of_that_number() -> None:
    """Of the three moves that cure it at the least bytes the first two leave 18 %; 0.2 and 0.3 cores leave 15 %."""
    heats = [[0.05, 0.2, 0.05, 0.3, 0.1, 0.05], [], []]
    sizes = dict.fromkeys((5000, 5001, 5002), 2**29)
    found = decided(freely(heats, sizes=sizes), a_policy(max_moves_per_plan=2))
    assert set(moves_of(found)) == {5001, 5003}
    assert found.outlook is not None
    assert found.outlook.busiest_percent_after == 15


@pytest.mark.parametrize(
    ("most", "operations", "moved"),
    [
        pytest.param(8, [], 4, id="two pairs at first"),
        pytest.param(3, [], 2, id="never half a pair"),
        pytest.param(8, [kept(7200)], 6, id="one pair more"),
        pytest.param(8, [kept(7200), a_move_operation(pod="qn-1", verdict=Verdict.ROLLED_BACK)], 2, id="half of six"),
    ],
)
def test_swaps_come_in_whole_pairs(most: int, operations: Any, moved: int) -> None:
    found = decided(a_placement(SWAPS), a_policy(max_moves_per_plan=most), operations=operations)
    assert (found.reason, len(moves_of(found))) == (Reason.HOT_NODE, moved)


def test_equally_hot_nodes_are_relieved_by_so_few_moves_as_well() -> None:
    """Two moves lower no maximum of four nodes: they are the first of those that do."""
    heats = [[0.3, 0.3, 0.3, 0.3]] * 4 + [[], [], [], []]
    found = decided(freely(heats), a_policy(max_moves_per_plan=2))
    assert (found.reason, len(moves_of(found))) == (Reason.HOT_NODE, 2)


def test_steps_are_as_many_as_a_plan_has_room_for() -> None:
    """Twenty pairs, each a step there and a step back, and room for eight steps beside the two for the balancer."""
    heats = [[0.08] * 22, [0.008] * 22, [0.008] * 22]
    operations = [kept(4000 + 60 * at) for at in range(20, 0, -1)]
    found = decided(a_placement(heats), a_policy(max_moves_per_plan=40), operations=operations)
    assert len(found.steps) == 10
    assert len(moves_of(found)) % 2 == 0
    assert found.outlook is not None
    assert found.outlook.moved_segments == len(moves_of(found))
