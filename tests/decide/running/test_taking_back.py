"""The way back is not given up before it was tried, also where the operator was away for longer than its deadline."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from milvus_tuning.decide.running.operation import Call, Move, begin, call_failed, next_move
from milvus_tuning.plan import Decision, Operation, Reason, StepState
from milvus_tuning.snapshot import Snapshot
from milvus_tuning.status.records import operation_from_status, operation_to_status
from tests.builders import NOON, a_node, a_snapshot, a_spec, some_nodes
from tests.decide.steps import a_scale

FOUR_WANTED = a_snapshot(
    (*some_nodes(2), a_node("qn-3", node_id=None, ready=False, pending_reason="Unschedulable")),
    workload={"desired_count": 4, "ready_count": 2, "serving_count": 2},
)
NOTHING_READ = Snapshot(taken_at=NOON)
UNDO, TIMEOUT = Call(step_index=0, undo=True), "the API server timed out"
HOUR = 3600.0


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def undoing(message: str = "not within 900 s") -> Operation:
    """2 -> 4 did not arrive; that it is taken back was written at noon, and nothing called yet."""
    decision = Decision(reason=Reason.BELOW_MINIMUM, message="", steps=(a_scale(2, 4),))
    operation = begin(decision, operation_id="test", now=NOON)
    record = replace(operation.steps[0], state=StepState.UNDOING, intended_at=NOON, message=message)
    return replace(operation, steps=(record,))


def moved(operation: Operation, seconds: float, snapshot: Snapshot = FOUR_WANTED) -> Move:
    return next_move(operation, replace(snapshot, taken_at=at(seconds)), a_spec(), at(seconds))


def timed_out(operation: Operation, seconds: float) -> Operation:
    return call_failed(operation, UNDO, at(seconds), TIMEOUT, retryable=True)


def test_it_is_tried_at_once() -> None:
    assert moved(undoing(), 15).call == UNDO


def test_after_an_hour_away_it_is_tried_and_gets_its_time_anew() -> None:
    back = moved(undoing(), HOUR)
    assert back.call == UNDO
    assert back.operation.steps[0].message == "not within 900 s; taken back: begun late, at 13:00:00 UTC"

    failing = timed_out(back.operation, HOUR)
    assert moved(failing, HOUR + 299).call == UNDO
    ended = moved(failing, HOUR + 301).operation

    assert (ended.outcome, ended.steps[0].state) == (Reason.INSUFFICIENT_CAPACITY, StepState.FAILED)
    assert ended.outcome_message == f"{{'count': 2}} could not be restored: not within 900 s; taken back: {TIMEOUT}"


@pytest.mark.parametrize("seconds", [301.0, HOUR])
def test_what_was_tried_gets_no_time_anew(seconds: float) -> None:
    assert moved(timed_out(undoing(), 15), seconds).operation.steps[0].state is StepState.FAILED


def test_what_cannot_be_read_for_twice_its_time_is_given_up() -> None:
    late = moved(undoing(), 301, NOTHING_READ)
    assert (late.call, late.operation.running) == (None, True)

    assert moved(late.operation, 601, NOTHING_READ).operation.running
    assert moved(late.operation, 602, NOTHING_READ).operation.steps[0].state is StepState.FAILED


@pytest.mark.parametrize("cause", ["", "worse", "worse " * 1000], ids=["none", "short", "longer than a record"])
def test_that_it_was_tried_outlives_a_crash_whatever_the_cause(cause: str) -> None:
    failing = operation_from_status(operation_to_status(timed_out(undoing(cause), 15)))

    assert failing.steps[0].message.endswith(f"taken back: {TIMEOUT}")
    assert not moved(failing, 301).operation.running
