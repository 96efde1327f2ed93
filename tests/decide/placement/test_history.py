"""What earlier moves teach: harm is not done twice, a word against a plan is heard, and nobody joins in a ping-pong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.placement.history import failed, most_moves
from milvus_tuning.decide.placement.hot_segments import decide_placement
from milvus_tuning.decide.proposing.hold_off import without_turned_down
from milvus_tuning.decide.proposing.proposal import intent_digest
from milvus_tuning.plan import Course, Decision, Operation, Phase, Plan, Reason, Rejection, Verdict
from milvus_tuning.plan.moves import CollectionMoves, PlacementMoves
from tests.builders import NOON, a_change, a_finished_operation, a_history
from tests.decide.placement.hot import (
    Placed,
    a_move_operation,
    a_placement,
    a_policy,
    auto_balance,
    decided,
    freely,
    moves_of,
)

HOT = [[0.9, 0.9], [0.1, 0.1], [0.1, 0.1]]
CANCELLED: dict[str, Any] = {"verdict": Verdict.CANCELLED, "outcome": Reason.CANCELLED}
HARM = "worse: mean 40.0 -> 80.0 ms (+100 %, tolerated +20 %)"


def taken_back(spec: MilvusTuningSpec, **changes: Any) -> Operation:
    """Moves that were rolled back half an hour ago, under this policy."""
    fields = {"verdict": Verdict.ROLLED_BACK, "outcome": Reason.ROLLED_BACK, **changes}
    return replace(a_move_operation(**fields), intent_digest=intent_digest(spec), verdict_message=HARM)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, Reason.ROLLED_BACK, id="half an hour ago"),
        pytest.param({"ended_seconds_ago": 3599.0}, Reason.ROLLED_BACK, id="nearly an hour ago"),
        pytest.param({"ended_seconds_ago": 3600.0}, Reason.HOT_NODE, id="an hour ago"),
        pytest.param({"segments": (5003,), "pod": "qn-1"}, Reason.ROLLED_BACK, id="other segments, another node"),
        pytest.param({"verdict": Verdict.KEPT, "outcome": Reason.COMPLETED, "pod": "qn-1"}, Reason.HOT_NODE, id="kept"),
        pytest.param(CANCELLED, Reason.HOT_NODE, id="called off"),
    ],
)
def test_moves_that_did_harm_are_not_repeated_for_an_hour(changes: dict[str, Any], reason: Reason) -> None:
    spec = a_policy()
    found = decided(a_placement(HOT), spec, operations=[taken_back(spec, **changes)])
    assert (found.reason, bool(found.steps)) == (reason, reason is Reason.HOT_NODE)


def test_what_the_moves_did_is_said_with_the_end_of_the_rest() -> None:
    spec = a_policy()
    found = decided(a_placement(HOT), spec, operations=[taken_back(spec)])
    assert found.message == (
        "qn-1 computes at 90 %, the mean is 37 %; the moves of moved-1800 were taken back at 2026-01-05T11:30:00Z "
        f"({HARM}). Nothing is moved until 2026-01-05T12:30:00Z, or until the policy asks for something else"
    )


def test_a_kept_plan_in_between_does_not_end_the_rest() -> None:
    spec = a_policy()
    kept = a_move_operation(ended_seconds_ago=600, segments=(5000,), pod="qn-1")
    assert decided(a_placement(HOT), spec, operations=[taken_back(spec), kept]).reason is Reason.ROLLED_BACK


def test_another_policy_is_another_question() -> None:
    asked = a_policy(objectives={"node_imbalance_percent": 30})
    assert decided(a_placement(HOT), asked, operations=[taken_back(a_policy())]).reason is Reason.HOT_NODE


def test_a_size_that_was_taken_back_holds_no_moves_off() -> None:
    spec = a_policy()
    size = replace(
        a_finished_operation(ended_seconds_ago=1800), verdict=Verdict.ROLLED_BACK, intent_digest=intent_digest(spec)
    )
    assert decided(a_placement(HOT), spec, operations=[size]).reason is Reason.HOT_NODE


@pytest.mark.parametrize(
    ("reason_then", "reason"),
    [
        pytest.param(Reason.NEW_NODE, Reason.ROLLED_BACK, id="a fill did harm"),
        pytest.param(Reason.HOT_NODE, Reason.NEW_NODE, id="other moves did: the new node is not left empty"),
    ],
)
def test_a_new_node_waits_only_for_what_a_fill_did(reason_then: Reason, reason: Reason) -> None:
    spec = a_policy(owner="Operator")
    then = replace(taken_back(spec), reason=reason_then)
    found = decided(freely([[0.4, 0.4], [0.4, 0.4], []]), spec, operations=[then])
    assert (found.reason, bool(found.steps)) == (reason, reason is Reason.NEW_NODE)


# -- called off ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "harmful", "limit"),
    [
        pytest.param(CANCELLED, False, 4, id="called off"),
        pytest.param({"verdict": Verdict.ROLLED_BACK, "outcome": Reason.ROLLED_BACK}, True, 2, id="rolled back"),
        pytest.param({"verdict": Verdict.FAILED, "outcome": Reason.UNDONE}, True, 2, id="failed"),
        pytest.param({}, False, 5, id="kept"),
    ],
)
def test_only_harm_and_failure_halve_the_number_of_moves(changes: dict[str, Any], harmful: bool, limit: int) -> None:
    operation = a_move_operation(**changes)
    assert (failed(operation), most_moves([operation], most=8, in_pairs=False)) == (harmful, limit)


@pytest.mark.parametrize(("ago", "reason"), [(119.0, Reason.COOLDOWN), (121.0, Reason.NEW_NODE)])
def test_a_fill_that_was_called_off_rests(ago: float, reason: Reason) -> None:
    then = a_move_operation(ended_seconds_ago=ago, **CANCELLED)
    found = decided(freely([[0.4, 0.4], [0.4, 0.4], []]), a_policy(owner="Operator"), operations=[then])
    assert found.reason is reason


@pytest.mark.parametrize(
    ("verdict", "ended_minutes_ago", "expires_in_minutes", "withheld"),
    [
        pytest.param(Verdict.CANCELLED, 30, -20, True, id="called off half an hour ago, past its expiry"),
        pytest.param(Verdict.CANCELLED, 60, -20, False, id="called off an hour ago"),
        pytest.param(Verdict.CANCELLED, 90, 5, True, id="called off long ago, and not yet expired"),
        pytest.param(Verdict.REJECTED, 30, -20, False, id="rejected, and expired"),
        pytest.param(Verdict.REJECTED, 30, 5, True, id="rejected, and not yet expired"),
        pytest.param(Verdict.ROLLED_BACK, 30, -20, True, id="rolled back half an hour ago"),
        pytest.param(Verdict.ROLLED_BACK, 60, 5, False, id="rolled back an hour ago"),
        pytest.param(Verdict.KEPT, 1, 5, False, id="kept"),
    ],
)
def test_what_a_person_turned_down_is_not_proposed_again_at_once(
    verdict: Verdict, ended_minutes_ago: int, expires_in_minutes: int, withheld: bool
) -> None:
    spec = a_policy()
    change = a_change(intent_digest=intent_digest(spec), expires_at=NOON + timedelta(minutes=expires_in_minutes))
    ended = NOON - timedelta(minutes=ended_minutes_ago)
    course = Course(phase=Phase.FINISHED, verdict=verdict, finished_at=ended)
    again = Decision(reason=Reason.SCALE_OUT_COMPUTATION, message="2 -> 4", steps=change.steps)
    found = without_turned_down(again, spec, [Plan(name="rag-1", change=change, course=course)], NOON)
    assert (found.reason is Reason.REJECTED, not found.steps) == (withheld, withheld)


# -- ping-pong -------------------------------------------------------------------------------------------------------


def swinging(name: str, *, net_zero_ratio: float = 0.8) -> PlacementMoves:
    """Milvus moves the segments of this collection to and fro."""
    one = CollectionMoves(collection_id=100, database="default", name=name, moves=20, net_zero_ratio=net_zero_ratio)
    return PlacementMoves(collections=(one,), watched_seconds=1800)


def decided_while(placed: Placed, moves: PlacementMoves | None, spec: MilvusTuningSpec | None = None) -> Decision:
    found = decide_placement(
        spec or a_policy(), placed.snapshot, placed.heat, a_history(placed.snapshot), NOON, moves=moves
    )
    assert found is not None
    return found


def test_what_milvus_moves_to_and_fro_is_left_alone_and_said() -> None:
    calm, found = decided_while(a_placement(HOT), None), decided_while(a_placement(HOT), swinging("c0"))
    assert 5000 in moves_of(calm)
    assert 5000 not in moves_of(found)
    assert 5001 in moves_of(found)
    assert found.rejected[-1] == Rejection(
        alternative="move segments of default.c0",
        reason=Reason.MOVES_UNDONE,
        message="Milvus's balancer moves them to and fro: default.c0: 80 % of 20 moves within 30 min came to nothing",
    )


@pytest.mark.parametrize(
    ("placed", "moves"),
    [
        pytest.param(a_placement(HOT), swinging("c0", net_zero_ratio=0.2), id="moves that served an end"),
        pytest.param(a_placement(HOT), PlacementMoves(collections=(), watched_seconds=1800), id="no moves"),
        pytest.param(a_placement(HOT, settings=auto_balance("false")), swinging("c0"), id="the balancer is off now"),
    ],
)
def test_where_nobody_moves_to_and_fro_nothing_is_left_out(placed: Placed, moves: PlacementMoves) -> None:
    assert decided_while(placed, moves) == decided_while(placed, None)


def test_where_all_that_is_hot_moves_to_and_fro_nothing_is_moved() -> None:
    both = PlacementMoves(collections=(*swinging("c0").collections, *swinging("c1").collections), watched_seconds=1800)
    found = decided_while(a_placement(HOT), both)
    assert (found.reason, found.steps) == (Reason.NO_BETTER_PLACEMENT, ())
