"""The course of an operation that moves segments: waiting for the effect, being cut short, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from milvus_tuning.api import Mode
from milvus_tuning.decide.lifecycle import Sight, next_turn
from milvus_tuning.decide.operation import Call, Move, begin, call_failed, call_succeeded, cancel, next_move, roll_back
from milvus_tuning.plan import (
    Course,
    Decision,
    Measurement,
    Operation,
    Phase,
    Plan,
    Prediction,
    Reason,
    Step,
    StepKind,
    StepState,
    Verdict,
)
from milvus_tuning.snapshot import EtcdSetting, Freeze, FreezeReason, Snapshot
from tests.builders import NOON, a_change, a_snapshot, a_spec, some_nodes
from tests.decide.steps import HAND_BACK, PLACEMENT_KEY, TAKE, a_move, a_replica_change, moved_segments

SPEC = a_spec()
KEY = "querycoordautobalance"
HELD = {KEY: EtcdSetting(key=PLACEMENT_KEY, value="false", spellings=(PLACEMENT_KEY,), revision=7, leased=True)}
FREEZE = Freeze(reason=FreezeReason.COMPACTING, message="40 tasks")
SLOW = "searches take 30.0 ms on average, 20.0 ms before (tolerated +20 %)"
TAKING = replace(TAKE, verification={**TAKE.verification, "settleSeconds": 10})
GIVING = replace(HAND_BACK, undo={**HAND_BACK.undo, "leaseSeconds": 300, "settleSeconds": 10})
OUT, BACK = a_move(5000), a_move(5001, source="qn-2", destination="qn-1")
OUT2, BACK2 = a_move(5003), a_move(5004, source="qn-2", destination="qn-1")
FREE, SWAP = (OUT, OUT2), (TAKING, OUT, BACK, OUT2, BACK2, GIVING)
DONE, PENDING, LEFT_OUT, UNDONE = StepState.DONE, StepState.PENDING, StepState.LEFT_OUT, StepState.UNDONE


def seen(
    where: Mapping[int, tuple[int, ...] | None] | None = None, *, at: datetime, held: bool = True, **changes: Any
) -> Snapshot:
    """Three nodes with 5000 and 5003 on node 1, 5001 and 5004 on node 2; `where` moves them."""
    snapshot = a_snapshot(3, settings_readable=True, settings=HELD if held else {}, **changes)
    return replace(snapshot, segments=tuple(moved_segments(snapshot.segments, where or {})), taken_at=at)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def begun(steps: tuple[Step, ...], *states: StepState, at: datetime = NOON) -> Operation:
    """An operation whose first steps are in these states since `at`."""
    operation = begin(Decision(reason=Reason.HOT_NODE, message="", steps=steps), operation_id="x", now=NOON)
    records = list(operation.steps)
    for place, state in enumerate(states):
        over = at if state is not StepState.INTENDED and state is not StepState.APPLIED else None
        records[place] = replace(records[place], state=state, intended_at=at, finished_at=over)
    return replace(operation, steps=tuple(records))


def moved(
    operation: Operation,
    where: Mapping[int, tuple[int, ...] | None] | None = None,
    *,
    at: datetime,
    hold: str | None = None,
    spec: Any = SPEC,
    **changes: Any,
) -> Move:
    return next_move(operation, seen(where, at=at, **changes), spec, at, hold=hold)


def states(operation: Operation) -> list[StepState]:
    return [record.state for record in operation.steps]


MOVED = {5000: (2,)}


# -- one move ---------------------------------------------------------------------------------------------------------


def test_a_move_is_done_when_the_placement_shows_it_and_not_when_milvus_answers() -> None:
    intended = moved(begun((OUT,)), at=NOON)
    assert (states(intended.operation), intended.call) == ([StepState.INTENDED], Call(step_index=0, undo=False))

    answered = call_succeeded(intended.operation, Call(step_index=0, undo=False), NOON, "asked")
    assert states(answered) == [StepState.APPLIED]
    assert moved(answered, at=after(60)) == Move(operation=answered)
    assert moved(answered, {5000: (1, 2)}, at=after(60)) == Move(operation=answered)

    assert moved(answered, MOVED, at=after(60)).operation.outcome is Reason.COMPLETED


def test_what_milvus_answered_and_did_not_do_is_taken_back_after_the_deadline() -> None:
    applied = begun((a_move(5000, 5003),), StepState.APPLIED)

    late = moved(applied, MOVED, at=after(181))

    assert states(late.operation) == [StepState.UNDOING]
    assert "Milvus answered success but did not move them" in late.operation.steps[0].message
    back = moved(late.operation, MOVED, at=after(196))
    assert back.call == Call(step_index=0, undo=True)


def test_a_move_that_was_refused_may_have_moved_a_part_and_is_taken_back_once_nothing_is_under_way() -> None:
    intended = begun((a_move(5000, 5003),), StepState.INTENDED)
    refused = call_failed(intended, Call(step_index=0, undo=False), NOON, "no memory", retryable=False)
    assert states(refused) == [StepState.UNDOING]

    assert moved(refused, MOVED, at=after(129)) == Move(operation=refused)
    assert moved(refused, MOVED, at=after(131)).call == Call(step_index=0, undo=True)
    nothing = moved(refused, at=after(131)).operation
    assert (nothing.outcome, states(nothing), nothing.outcome_message) == (Reason.UNDONE, [UNDONE], "no memory")


@pytest.mark.parametrize(
    ("where", "state", "call"),
    [
        pytest.param({}, StepState.INTENDED, Call(step_index=0, undo=False), id="not moved: asked again"),
        pytest.param({5000: (1, 2)}, StepState.INTENDED, Call(step_index=0, undo=False), id="on both: asked again"),
        pytest.param(MOVED, StepState.DONE, None, id="moved: not asked again"),
        pytest.param({5000: (3,)}, StepState.UNDOING, None, id="elsewhere: given up"),
    ],
)
def test_after_a_restart_with_the_intent_on_record(
    where: Mapping[int, tuple[int, ...]], state: StepState, call: Call | None
) -> None:
    move = moved(begun((OUT,), StepState.INTENDED), where, at=after(15))

    assert (states(move.operation), move.call) == ([state], call)


def test_a_way_back_is_over_when_the_placement_shows_it() -> None:
    undoing = begun((OUT,), StepState.UNDOING)
    undoing = replace(undoing, steps=(replace(undoing.steps[0], finished_at=None),))
    call = moved(undoing, MOVED, at=after(15)).call
    assert call == Call(step_index=0, undo=True)

    asked = call_succeeded(undoing, call, after(15), "asked")

    assert states(asked) == [StepState.UNDOING]
    assert moved(asked, MOVED, at=after(20)).call is None, "Milvus has had no time yet"
    assert moved(asked, MOVED, at=after(46)).call == call
    assert states(moved(asked, at=after(20)).operation) == [UNDONE]


def test_a_way_back_that_fails_is_said_after_a_while() -> None:
    undoing = replace(begun((OUT,), StepState.UNDOING), steps=(begun((OUT,), StepState.UNDOING).steps[0],))

    ended = moved(undoing, MOVED, at=after(301)).operation

    assert (ended.outcome, states(ended)) == (Reason.UNDONE, [StepState.FAILED])
    assert "could not be restored" in ended.outcome_message


# -- several ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "before", "states_after"),
    [
        pytest.param(FREE, [DONE], [DONE, LEFT_OUT], id="free moves: those before it stay"),
        pytest.param(
            SWAP,
            [DONE, DONE, DONE],
            [DONE, DONE, DONE, LEFT_OUT, LEFT_OUT, StepState.INTENDED],
            id="a whole pair stays",
        ),
        pytest.param(
            SWAP,
            [DONE, DONE],
            [DONE, StepState.UNDOING, StepState.SKIPPED, PENDING, PENDING, PENDING],
            id="half a pair is taken back",
        ),
        pytest.param(
            SWAP,
            [DONE],
            [StepState.UNDOING, StepState.SKIPPED, PENDING, PENDING, PENDING, PENDING],
            id="nothing was moved: the balancer is let go",
        ),
    ],
)
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"freezes": (FREEZE,)}, id="freeze"),
        pytest.param({"where": dict.fromkeys((5000, 5001, 5003, 5004))}, id="compacted"),
        pytest.param({"query_nodes": (some_nodes(3)[0], some_nodes(3)[2])}, id="pod gone"),
    ],
)
def test_a_move_that_cannot_be_begun(
    steps: tuple[Step, ...], before: list[StepState], states_after: list[StepState], trouble: dict[str, Any]
) -> None:
    operation = begun(steps, *before)

    move = moved(operation, at=after(15), **trouble)

    assert states(move.operation) == states_after


def test_moves_that_were_left_out_end_well() -> None:
    operation = moved(begun(FREE, DONE), MOVED, at=after(15), freezes=(FREEZE,)).operation

    assert (operation.outcome, states(operation)) == (Reason.COMPLETED, [DONE, LEFT_OUT])
    assert "left out: Compacting: 40 tasks" in operation.outcome_message


def test_a_pause_takes_back_what_was_moved_but_returns_the_placement_at_the_end() -> None:
    paused = a_spec(paused=True)

    middle = moved(begun(SWAP, DONE, DONE, DONE), MOVED | {5001: (1,)}, at=after(15), spec=paused)
    end = moved(begun(SWAP, *[DONE] * 5), at=after(15), spec=paused, freezes=(FREEZE,))

    assert states(middle.operation)[:4] == [DONE, DONE, StepState.UNDOING, StepState.SKIPPED]
    assert end.call == Call(step_index=5, undo=False)


def test_a_return_of_what_somebody_else_took_waits_in_a_pause() -> None:
    """The control: only what the operation itself took is returned in spite of it."""
    alone = moved(begun((GIVING,)), at=after(15), spec=a_spec(mode=Mode.OBSERVE))

    assert alone.operation.outcome is Reason.PRECONDITION_CHANGED


# -- the balancer held off --------------------------------------------------------------------------------------------


def test_the_first_move_waits_until_milvus_has_read_that_it_is_held_off() -> None:
    intended = begun(SWAP, StepState.INTENDED)
    applied = call_succeeded(intended, Call(step_index=0, undo=False), after(120), "set")

    assert moved(applied, at=after(129)).operation == applied, "from the call on, not from the intent"
    assert moved(applied, at=after(131)).call == Call(step_index=1, undo=False)


def test_no_move_is_begun_while_the_balancer_is_at_large() -> None:
    operation = begun(SWAP, DONE, DONE, DONE)

    at_large, held = (moved(operation, MOVED | {5001: (1,)}, at=after(15), held=one) for one in (False, True))

    assert states(at_large.operation)[3:5] == [LEFT_OUT, LEFT_OUT]
    assert "not held off any more" in at_large.operation.steps[3].message
    assert held.call == Call(step_index=3, undo=False)


# -- searches that suffer ---------------------------------------------------------------------------------------------


def test_a_move_waits_while_searches_suffer_and_goes_on_afterwards() -> None:
    operation = begun(FREE, DONE)

    waiting = moved(operation, MOVED, at=after(15), hold=SLOW)

    assert (states(waiting.operation), waiting.call) == ([DONE, PENDING], None)
    assert waiting.operation.steps[1].message == f"waits: {SLOW}"
    assert moved(waiting.operation, MOVED, at=after(30), hold="another number") == Move(operation=waiting.operation)
    assert moved(waiting.operation, MOVED, at=after(30)).call == Call(step_index=1, undo=False)


def test_after_ten_minutes_of_it_the_rest_is_left_out() -> None:
    ended = moved(begun(FREE, DONE), MOVED, at=after(601), hold=SLOW).operation

    assert (ended.outcome, states(ended)) == (Reason.COMPLETED, [DONE, LEFT_OUT])
    assert "did not recover within 600 s" in ended.outcome_message


def test_a_pair_that_was_begun_is_finished_although_searches_suffer() -> None:
    half, whole = begun(SWAP, DONE, DONE), begun(SWAP, DONE, DONE, DONE)

    assert moved(half, MOVED, at=after(15), hold=SLOW).call == Call(step_index=2, undo=False)
    assert moved(whole, MOVED | {5001: (1,)}, at=after(15), hold=SLOW).call is None


@pytest.mark.parametrize("step", [a_replica_change(), TAKE], ids=["replicas", "placement"])
def test_nothing_else_waits_for_searches(step: Step) -> None:
    assert moved(begun((step,)), at=NOON, hold=SLOW, held=False).call == Call(step_index=0, undo=False)


# -- the way back -----------------------------------------------------------------------------------------------------

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
