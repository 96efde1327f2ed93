"""The course of an operation: every state, by what the outside shows."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from milvus_tuning.api import Mode
from milvus_tuning.decide import decide
from milvus_tuning.decide.running.operation import (
    Call,
    Move,
    begin,
    call_failed,
    call_succeeded,
    next_move,
)
from milvus_tuning.plan import Operation, Reason, StepState
from milvus_tuning.snapshot import Freeze, FreezeReason, QueryNode, Snapshot
from tests.builders import NOON, a_history, a_node, a_snapshot, a_spec, some_nodes, some_replicas, some_segments

SPEC = a_spec()
LATER = NOON + timedelta(seconds=15)
FREEZE = Freeze(reason=FreezeReason.ROLLOUT, message="1 of 3 pods is new")


def begun(snapshot: Snapshot) -> Operation:
    decision = decide(SPEC, snapshot, a_history(snapshot), NOON)
    return begin(decision, operation_id="test", now=NOON)


def moved(operation: Operation, snapshot: Snapshot, now: datetime = LATER, spec: Any = SPEC) -> Move:
    return next_move(operation, replace(snapshot, taken_at=now), spec, now)


def states(operation: Operation) -> list[StepState]:
    return [record.state for record in operation.steps]


def called(move: Move, now: datetime) -> Operation:
    assert move.call is not None
    return call_succeeded(move.operation, move.call, now, "done")


# -- scale-out: 2 -> 4 ------------------------------------------------------------------------------------------------

TWO = a_snapshot(2, cpu=0.9)
WAITING = a_snapshot(
    (*some_nodes(2), a_node("qn-3", node_id=None, ready=False, pending_reason="Unschedulable")),
    workload={"desired_count": 4, "ready_count": 2, "serving_count": 2},
)
FOUR = a_snapshot(4)


def growing() -> Operation:
    """The write has been made."""
    return called(moved(begun(TWO), TWO, NOON), NOON)


def test_the_intent_is_recorded_before_the_call() -> None:
    move = moved(begun(TWO), TWO, NOON)

    assert states(move.operation) == [StepState.INTENDED]
    assert move == Move(operation=move.operation, call=Call(step_index=0, undo=False))


def test_it_completes_when_all_serve() -> None:
    operation = moved(growing(), FOUR).operation

    assert (operation.outcome, operation.finished_at, states(operation)) == (Reason.COMPLETED, LATER, [StepState.DONE])


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(WAITING, id="a pod is pending"),
        pytest.param(a_snapshot(4, workload={"ready_count": 3}), id="one is not ready in the Deployment"),
        pytest.param(a_snapshot(4, workload={"serving_count": 3}), id="Milvus counts one less"),
        pytest.param(a_snapshot(4, workload={"serving_count": None}), id="Milvus cannot be asked"),
        pytest.param(a_snapshot((*some_nodes(3), a_node("qn-4", node_id=None))), id="one identity unknown"),
        pytest.param(Snapshot(taken_at=NOON), id="nothing can be read"),
    ],
)
def test_it_waits_while(seen: Snapshot) -> None:
    operation = growing()

    assert moved(operation, seen) == Move(operation=operation)


def test_what_was_seen_before_the_call_says_nothing_about_it() -> None:
    operation = growing()

    assert next_move(operation, replace(TWO, taken_at=NOON), SPEC, LATER) == Move(operation=operation)


def test_the_former_size_comes_back_after_the_deadline() -> None:
    late = NOON + timedelta(seconds=901)
    giving_up = moved(growing(), WAITING, late)
    assert giving_up.call == Call(step_index=0, undo=True)
    assert states(giving_up.operation) == [StepState.UNDOING]
    assert giving_up.operation.steps[0].step.undo == {"count": 2}

    ended = moved(called(giving_up, late), TWO, late + timedelta(seconds=15)).operation

    assert (ended.outcome, states(ended)) == (Reason.INSUFFICIENT_CAPACITY, [StepState.UNDONE])
    assert ended.outcome_message.startswith(
        "not within 900 s: 4 desired, 2 ready, 2 serving, 4 wanted; qn-3 Unschedulable"
    )


def test_what_arrived_is_kept() -> None:
    three = a_snapshot(3, workload={"desired_count": 4})

    move = moved(growing(), three, NOON + timedelta(seconds=901))

    assert move.operation.steps[0].step.undo == {"count": 3}


def test_an_arrival_after_the_deadline_still_counts() -> None:
    assert moved(growing(), FOUR, NOON + timedelta(hours=2)).operation.outcome is Reason.COMPLETED


def test_a_foreign_count_ends_it_and_stays() -> None:
    move = moved(growing(), a_snapshot(2, workload={"desired_count": 7}))

    assert (move.operation.outcome, move.call) == (Reason.PRECONDITION_CHANGED, None)
    assert "7 QueryNodes are asked for" in move.operation.outcome_message


@pytest.mark.parametrize(
    ("seen", "state", "call"),
    [
        pytest.param(WAITING, StepState.APPLIED, None, id="the write is there: not written again"),
        pytest.param(TWO, StepState.INTENDED, Call(step_index=0, undo=False), id="it is not there: written again"),
        pytest.param(a_snapshot(3), StepState.SKIPPED, None, id="a foreign value is there"),
        pytest.param(Snapshot(taken_at=NOON), StepState.INTENDED, None, id="nothing can be read: wait"),
    ],
)
def test_after_a_restart_with_the_intent_on_record(seen: Snapshot, state: StepState, call: Call | None) -> None:
    intended = moved(begun(TWO), TWO, NOON).operation

    move = moved(intended, seen)

    assert (states(move.operation), move.call) == ([state], call)


def test_a_write_that_never_goes_through_is_given_up() -> None:
    move = moved(begun(TWO), TWO, NOON)
    assert move.call is not None
    failing = call_failed(move.operation, move.call, NOON, "the API server timed out", True)
    assert states(failing) == [StepState.INTENDED]

    ended = moved(failing, TWO, NOON + timedelta(seconds=301)).operation

    assert (ended.outcome, states(ended)) == (Reason.UNDONE, [StepState.FAILED])
    assert "the API server timed out" in ended.outcome_message


def test_a_refused_write_ends_it() -> None:
    move = moved(begun(TWO), TWO, NOON)
    assert move.call is not None

    refused = moved(call_failed(move.operation, move.call, NOON, "forbidden", False), TWO).operation

    assert (refused.outcome, refused.outcome_message) == (Reason.UNDONE, "forbidden")


def test_an_undo_that_is_refused_is_said_and_left_to_a_person() -> None:
    giving_up = moved(growing(), WAITING, NOON + timedelta(seconds=901))
    assert giving_up.call is not None

    ended = call_failed(giving_up.operation, giving_up.call, LATER, "forbidden", False)

    assert (ended.outcome, states(ended)) == (Reason.INSUFFICIENT_CAPACITY, [StepState.FAILED])
    assert ended.outcome_message == "{'count': 2} could not be restored: forbidden"


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        pytest.param(a_spec(paused=True), TWO, id="paused"),
        pytest.param(a_spec(mode=Mode.OBSERVE), TWO, id="switched to Observe"),
        pytest.param(SPEC, replace(TWO, freezes=(FREEZE,)), id="frozen"),
        pytest.param(SPEC, a_snapshot(3), id="the count is another one by now"),
    ],
)
def test_a_step_does_not_start_when_the_world_has_changed(spec: Any, seen: Snapshot) -> None:
    move = moved(begun(TWO), seen, spec=spec)

    assert (move.operation.outcome, move.call) == (Reason.PRECONDITION_CHANGED, None)


def test_an_operation_under_way_is_finished_although_paused() -> None:
    assert moved(growing(), FOUR, spec=a_spec(paused=True)).operation.outcome is Reason.COMPLETED


def test_a_finished_operation_does_not_move() -> None:
    finished = moved(growing(), FOUR).operation

    assert moved(finished, TWO) == Move(operation=finished)


# -- scale-in: 3 -> 2, qn-2 leaves ------------------------------------------------------------------------------------

THREE = a_snapshot(3, cpu=0.1, memory=0.25)
ASKED = {"desired_count": 2, "ready_count": 2, "serving_count": 2}


def with_nodes(*nodes: QueryNode, **workload: Any) -> Snapshot:
    """Nodes 1 to 3 as they are now; the segments are still where they were."""
    return replace(
        a_snapshot(nodes, workload=workload),
        replicas=some_replicas(some_nodes(3)),
        segments=some_segments(some_nodes(3)),
    )


def marked(*, terminating: bool = False) -> tuple[QueryNode, QueryNode, QueryNode]:
    first, second, third = some_nodes(3, cpu=0.1, memory=0.25)
    return first, replace(second, deletion_cost=-1000, terminating=terminating), third


def drained() -> Snapshot:
    """qn-2 is gone, nodes 1 and 3 serve everything."""
    stayed = tuple(node for node in some_nodes(3) if node.pod != "qn-2")
    moved_segments = tuple(
        replace(segment, node_ids=(1,) if segment.node_ids == (2,) else segment.node_ids)
        for segment in some_segments(some_nodes(3))
    )
    return replace(a_snapshot(stayed), segments=moved_segments)


MARKED = with_nodes(*marked())
LEAVING = with_nodes(*marked(terminating=True), **ASKED)


def marking() -> Operation:
    """The mark has been written."""
    return called(moved(begun(THREE), THREE, NOON), NOON)


def shrinking() -> Operation:
    """The mark is verified and the count has been written."""
    return called(moved(marking(), MARKED), LATER)


def test_the_mark_comes_first_and_the_count_only_when_it_is_seen() -> None:
    assert moved(begun(THREE), THREE, NOON).call == Call(step_index=0, undo=False)
    assert moved(marking(), THREE).operation.outcome is Reason.PRECONDITION_CHANGED
    assert moved(marking(), MARKED).call == Call(step_index=1, undo=False)


def test_a_scale_in_completes_when_the_victim_is_gone_and_its_segments_are_served() -> None:
    operation = moved(shrinking(), drained(), LATER + timedelta(seconds=30)).operation

    assert (operation.outcome, states(operation)) == (Reason.COMPLETED, [StepState.DONE, StepState.DONE])
    assert operation.outcome_message == "qn-2 is gone and 120000 rows are served by the 2 that stayed"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(LEAVING, "qn-2 is still there with 4 segments, leaving", id="it is still leaving"),
        pytest.param(
            replace(drained(), segments=drained().segments[2:]), "100000 rows are served, 118800", id="rows are missing"
        ),
        pytest.param(
            replace(drained(), segments=some_segments(some_nodes(3))), "4 segments are not served", id="not handed over"
        ),
        pytest.param(
            replace(drained(), collections=(replace(drained().collections[0], load_percent=80),)),
            "products not fully loaded",
            id="a collection reloads",
        ),
        pytest.param(
            replace(drained(), segments=(*drained().segments[1:], replace(drained().segments[0], node_ids=(1, 2)))),
            "1 segments are not served",
            id="the node that left is still listed",
        ),
        pytest.param(replace(drained(), placement_coverage=0.5), "50 % of the collections", id="half the placement"),
        pytest.param(
            replace(drained(), workload=replace(THREE.workload, desired_count=2)),  # type: ignore[type-var]
            "2 desired, 3 ready",
            id="the counts lag behind",
        ),
    ],
)
def test_a_scale_in_waits_and_is_reported_stuck_after_its_deadline(seen: Snapshot, words: str) -> None:
    operation = shrinking()
    assert moved(operation, seen, LATER + timedelta(seconds=60)) == Move(operation=operation)

    stuck = moved(operation, seen, LATER + timedelta(seconds=1801))

    assert (stuck.operation.outcome, stuck.call) == (Reason.DRAIN_STUCK, None)
    assert words in stuck.operation.outcome_message


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(with_nodes(*marked(), **{"desired_count": 4}), id="somebody scaled meanwhile"),
        pytest.param(replace(MARKED, freezes=(FREEZE,)), id="a roll-out began"),
        pytest.param(
            with_nodes(replace(marked()[0], deletion_cost=-5000), *marked()[1:]), id="another pod got a lower cost"
        ),
    ],
)
def test_between_mark_and_count_a_changed_world_takes_the_mark_back(seen: Snapshot) -> None:
    move = moved(marking(), seen)
    assert move.call == Call(step_index=0, undo=True)
    assert states(move.operation) == [StepState.UNDOING, StepState.SKIPPED]

    ended = moved(called(move, LATER), THREE, LATER + timedelta(seconds=15)).operation

    assert (ended.outcome, states(ended)) == (Reason.PRECONDITION_CHANGED, [StepState.UNDONE, StepState.SKIPPED])


def test_pausing_between_mark_and_count_restores() -> None:
    assert moved(marking(), MARKED, spec=a_spec(paused=True)).call == Call(step_index=0, undo=True)


def test_a_victim_that_vanished_has_no_mark_to_take_back() -> None:
    gone = with_nodes(marked()[0], marked()[2])

    move = moved(marking(), gone)

    assert (move.operation.outcome, move.call) == (Reason.PRECONDITION_CHANGED, None)


def test_a_refused_count_after_the_victim_vanished_leaves_nothing_to_call() -> None:
    move = moved(marking(), MARKED)
    assert move.call is not None
    refused = call_failed(move.operation, move.call, LATER, "forbidden", False)

    after = moved(refused, with_nodes(marked()[0], marked()[2]), LATER + timedelta(seconds=15))

    assert (after.operation.outcome, after.operation.outcome_message, after.call) == (Reason.UNDONE, "forbidden", None)


def test_when_kubernetes_takes_another_pod_the_mark_is_taken_back() -> None:
    other_left = with_nodes(*marked()[:2])

    move = moved(shrinking(), other_left, LATER + timedelta(seconds=60))

    assert move.call == Call(step_index=0, undo=True)
    assert "another pod than qn-2" in move.operation.steps[1].message


@pytest.mark.parametrize(
    "victim",
    [
        pytest.param({"grace_period_seconds": 30}, id="its grace period was changed"),
        pytest.param({"pod_uid": "another"}, id="it is another pod of that name"),
        pytest.param({"ready": False}, id="it is not ready any more"),
    ],
)
def test_a_victim_that_changed_is_not_marked(victim: dict[str, Any]) -> None:
    first, second, third = some_nodes(3, cpu=0.1, memory=0.25)

    move = moved(begun(THREE), with_nodes(first, replace(second, **victim), third))

    assert (move.operation.outcome, move.call) == (Reason.PRECONDITION_CHANGED, None)
