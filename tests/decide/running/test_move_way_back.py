"""The way back of an operation that moves segments; replicas, and what a verdict says of moves that did not stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from milvus_tuning.decide.running.lifecycle import Sight, next_turn
from milvus_tuning.decide.running.operation import Call, Move, call_succeeded, cancel, next_move, roll_back
from milvus_tuning.plan import (
    Course,
    Measurement,
    Operation,
    Phase,
    Plan,
    Prediction,
    Reason,
    StepKind,
    StepState,
    Verdict,
)
from milvus_tuning.snapshot import Snapshot
from tests.builders import NOON, a_change, a_snapshot
from tests.decide.running.move_cases import (
    DONE,
    FREE,
    LEFT_OUT,
    MOVED,
    OUT,
    SLOW,
    SPEC,
    SWAP,
    UNDONE,
    after,
    begun,
    moved,
    seen,
    states,
)
from tests.decide.steps import a_replica_change

ALL_MOVED = {5000: (2,), 5001: (1,), 5003: (2,), 5004: (1,)}


def run_back(
    operation: Operation, where: dict[int, tuple[int, ...] | None], *, stuck: int | None = None, held: bool = True
) -> tuple[Operation, list[StepKind], list[int]]:
    """Passes until it is over; Milvus does as it is asked, but for one segment. And the calls, by kind and place."""
    kinds, indexes, at = [], [], after(1000)
    for _ in range(200):
        if not operation.running:
            break
        move = moved(operation, where, at=at, held=held)
        operation = move.operation
        if move.call is not None:
            step = operation.steps[move.call.step_index].step
            kinds.append(step.kind)
            indexes.append(move.call.step_index)
            operation = call_succeeded(operation, move.call, at, "done")
            if step.kind is StepKind.MOVE_SEGMENTS:
                segment = int(str(step.action["segments"]))
                goes_to = int(str(step.undo["pod"])[-1])
                where[segment] = where[segment] if segment == stuck else (goes_to,)
            else:
                held = (step.kind is StepKind.TAKE_PLACEMENT) is not move.call.undo
        at += timedelta(seconds=15)
    return operation, kinds, indexes


def test_a_swap_is_rolled_back_with_the_balancer_held_off_the_last_move_first() -> None:
    completed = moved(begun(SWAP, *[DONE] * 6), ALL_MOVED, at=after(15), held=False).operation
    assert completed.outcome is Reason.COMPLETED

    ended, _, indexes = run_back(roll_back(completed, after(900), "worse"), dict(ALL_MOVED), held=False)

    assert indexes == [5, 4, 3, 2, 1, 0]
    assert set(states(ended)) == {UNDONE}


def test_on_the_way_back_milvus_gets_time_to_read_that_it_is_held_off() -> None:
    completed = replace(begun(SWAP, *[DONE] * 6), outcome=Reason.COMPLETED)
    rolling = moved(roll_back(completed, after(900), "worse"), ALL_MOVED, at=after(905), held=False)
    assert rolling.call == Call(step_index=5, undo=True)
    held = call_succeeded(rolling.operation, rolling.call, after(905), "held off")

    soon = moved(held, ALL_MOVED, at=after(910))
    assert (soon.call, states(soon.operation)[4]) == (None, StepState.UNDOING)
    assert moved(soon.operation, ALL_MOVED, at=after(916)).call == Call(step_index=4, undo=True)


@pytest.mark.parametrize("done", range(6))
def test_however_far_it_is_a_cancelled_swap_returns_everything(done: int) -> None:
    where: dict[int, tuple[int, ...] | None] = dict(list(ALL_MOVED.items())[: max(0, done - 1)])
    operation = begun(SWAP, *[DONE] * done)

    cancelled = cancel(operation, seen(where, at=after(990)), after(990), "Cancelled by ann")
    ended, kinds, indexes = run_back(cancelled, where)

    assert indexes == list(range(done - 1, -1, -1))
    assert not ended.running
    assert (kinds[-1:] == [StepKind.TAKE_PLACEMENT]) is (done > 0)


def test_a_move_that_cannot_be_taken_back_leaves_the_earlier_ones_but_not_the_balancer() -> None:
    operation = begun(SWAP, DONE, DONE, DONE)
    cancelled = cancel(operation, seen(at=after(990)), after(990), "Cancelled by ann")

    ended, kinds, _ = run_back(cancelled, {5000: (2,), 5001: (1,)}, stuck=5001)

    assert states(ended)[:3] == [UNDONE, DONE, StepState.FAILED]
    assert kinds[-1] is StepKind.TAKE_PLACEMENT
    assert "could not be restored" in ended.outcome_message


def test_moves_that_were_left_out_are_not_taken_back() -> None:
    completed = moved(begun(FREE, DONE), MOVED, at=after(601), hold=SLOW).operation

    ended, _, indexes = run_back(roll_back(completed, after(900), "worse"), dict(MOVED))

    assert (indexes, states(ended)) == ([0], [UNDONE, LEFT_OUT])


# -- in-memory replicas -----------------------------------------------------------------------------------------------


def with_replicas(count: int, at: datetime) -> Snapshot:
    return a_snapshot(4, replicas=count, at=at)


def test_replicas_may_take_their_time_and_the_former_number_comes_back_after_the_deadline() -> None:
    applied = begun((a_replica_change(1, 2),), StepState.APPLIED)

    assert next_move(applied, with_replicas(1, after(60)), SPEC, after(60)) == Move(operation=applied)
    done = next_move(applied, with_replicas(2, after(60)), SPEC, after(60)).operation
    assert done.outcome is Reason.COMPLETED

    loading = replace(with_replicas(2, after(601)), segments=(a_snapshot(4).segments[0],))
    late = next_move(applied, loading, SPEC, after(601))
    assert late.call == Call(step_index=0, undo=True)
    assert "not within 600 s" in late.operation.steps[0].message


def test_another_number_ends_it_and_stays() -> None:
    applied = begun((a_replica_change(1, 2),), StepState.APPLIED)

    ended = next_move(applied, replace(a_snapshot(3, replicas=3), taken_at=after(60)), SPEC, after(60))

    assert (ended.operation.outcome, ended.call) == (Reason.PRECONDITION_CHANGED, None)


# -- the verdict ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "said"),
    [pytest.param(MOVED, False, id="it stayed"), pytest.param({}, True, id="Milvus moved it back")],
)
def test_the_verdict_says_what_did_not_stay(where: Mapping[int, tuple[int, ...]], said: bool) -> None:
    measured = Measurement(ended_at=NOON, window_seconds=180, searches_per_minute=6000, mean_microseconds=20_000)
    operation = replace(begun((OUT,), DONE), outcome=Reason.COMPLETED)
    plan = Plan(
        name="rag-1",
        change=a_change(steps=(OUT,), prediction=Prediction()),
        course=Course(
            phase=Phase.VERIFYING, operation=operation, before=measured, after=measured, verify_until=after(210)
        ),
    )

    turn = next_turn(plan, Sight(spec=SPEC, snapshot=seen(where, at=after(211)), now=after(211)))

    assert turn.plan.course.verdict is Verdict.KEPT
    assert ("1 of 1 moved segments are back" in turn.plan.course.verdict_message) is said


def test_the_first_move_does_not_wait_since_it_is_the_cure() -> None:
    assert moved(begun(FREE), at=after(15), hold=SLOW).call == Call(step_index=0, undo=False)
