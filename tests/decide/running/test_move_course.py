"""The course of an operation that moves segments: waiting for the effect, and being cut short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import Mode
from milvus_tuning.decide.running.operation import Call, Move, call_failed, call_succeeded
from milvus_tuning.plan import (
    Reason,
    Step,
    StepState,
)
from tests.builders import NOON, a_spec, some_nodes
from tests.decide.running.move_cases import (
    DONE,
    FREE,
    FREEZE,
    GIVING,
    LEFT_OUT,
    MOVED,
    OUT,
    PENDING,
    SLOW,
    SWAP,
    UNDONE,
    after,
    begun,
    moved,
    states,
)
from tests.decide.steps import TAKE, a_move, a_replica_change

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

    call = moved(undoing, MOVED, at=after(46)).call
    assert call is not None
    failing = call_failed(undoing, call, after(46), "the proxy timed out", True)

    ended = moved(failing, MOVED, at=after(301)).operation

    assert (ended.outcome, states(ended)) == (Reason.UNDONE, [StepState.FAILED])
    assert ended.outcome_message.endswith("could not be restored: taken back: the proxy timed out")


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
