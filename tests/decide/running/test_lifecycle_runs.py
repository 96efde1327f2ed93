"""Plans from their first turn to their last, and what holds in every turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide.running.lifecycle import (
    Turn,
    abandoned,
    next_turn,
    operation_of,
    with_failure,
    with_measurement,
    with_success,
)
from milvus_tuning.decide.running.operation import Call, begin
from milvus_tuning.plan import (
    MILVUS_RESOURCE,
    ROAD,
    Operation,
    Phase,
    Plan,
    Reason,
    Risk,
    StepRecord,
    StepState,
    Verdict,
)
from milvus_tuning.snapshot import ResourceConfig, Snapshot
from tests.builders import NOON, a_snapshot, a_spec
from tests.decide.running.lifecycle_cases import (
    APPROVED,
    ARRIVING,
    BACK,
    CALM,
    CANCELLED,
    DUE,
    FROZEN,
    GROWTH,
    HALVED,
    LISTED,
    OBSERVE,
    PROPOSE,
    REJECTED,
    SETTING,
    SLOW,
    STEADY,
    THREE,
    TWO,
    UNDO,
    WANTED,
    Setting,
    applied,
    approved,
    intended,
    judged,
    measured,
    proposed,
    verifying,
    with_key,
)
from tests.decide.steps import a_restart


def run_to_the_end(plan: Plan, at: Setting, world: dict[str, Snapshot]) -> tuple[Plan, list[Call]]:
    """Turns until the plan is over; each call turns the world into what `world` says it does."""
    calls: list[Call] = []
    for _ in range(20):
        turn = next_turn(plan, at.sight())
        plan = turn.plan
        if turn.call is not None:
            calls.append(turn.call)
            plan = with_success(plan, turn.call, at.sight().now, "made")
            at = replace(at, snapshot=world[f"{'undo' if turn.call.undo else 'act'} {turn.call.step_index}"])
        elif turn.measure is not None:
            plan = with_measurement(plan, turn.measure, at.measured)
        elif not plan.open:
            return plan, calls
        at = replace(at, seconds=at.seconds + 60)
    raise AssertionError(f"never over: {plan.course}")


def test_a_setting_that_slows_searches_is_taken_back() -> None:
    at = Setting(
        steps=SETTING, snapshot=with_key(TWO, "30000"), decision=STEADY, seconds=DUE, measured=SLOW, spec=a_spec()
    )

    plan, calls = run_to_the_end(judged(at), at, {"undo 0": with_key(TWO, None)})

    assert (plan.course.verdict, calls) == (Verdict.ROLLED_BACK, [BACK])
    assert operation_of(plan).outcome is Reason.ROLLED_BACK
    assert "20.0 -> 60.0 ms" in plan.course.verdict_message


@pytest.mark.parametrize(
    ("road", "declared", "seconds"),
    [
        pytest.param({}, None, 30, id="etcd"),
        pytest.param({ROAD: MILVUS_RESOURCE}, None, 100, id="a mounted file takes longer"),
        pytest.param({ROAD: MILVUS_RESOURCE}, 10, 10, id="what is declared counts"),
    ],
)
def test_the_second_window_begins_when_the_road_is_over(
    road: dict[str, str], declared: int | None, seconds: int
) -> None:
    steps = (replace(SETTING[0], action={**SETTING[0].action, **road}),)
    spec = a_spec(verification={} if declared is None else {"settleSeconds": declared})
    there = with_key(TWO, "30000")
    config = ResourceConfig(settings=there.settings, rendered=dict.fromkeys(there.settings, "30000"))
    at = Setting(steps=steps, spec=spec, snapshot=replace(there, resource_config=config), decision=STEADY)
    begun = begin(at.plan().change, operation_id="rag", now=NOON)
    made = replace(begun.steps[0], state=StepState.APPLIED, intended_at=NOON)
    plan = at.plan(phase=Phase.RUNNING, approval="automatic", before=CALM, operation=replace(begun, steps=(made,)))
    after = next_turn(plan, at.sight()).plan
    assert after.course.phase is Phase.VERIFYING
    assert after.course.verify_until == at.sight().now + timedelta(seconds=seconds + 180)


def test_what_cannot_be_taken_back_is_said() -> None:
    at = Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), decision=STEADY, seconds=DUE, measured=SLOW)
    turn = next_turn(judged(at), at.sight())
    assert turn.call is not None

    refused = with_failure(turn.plan, turn.call, at.sight().now, "etcd says no", retryable=False)
    plan = next_turn(refused, at.sight()).plan

    assert plan.course.verdict is Verdict.FAILED
    assert "etcd says no" in plan.course.verdict_message


def test_a_scale_out_that_never_arrives_fails_and_is_restored() -> None:
    at = Setting(snapshot=ARRIVING, seconds=1000)

    plan, calls = run_to_the_end(applied(at), at, {"undo 0": TWO})

    assert (plan.course.verdict, operation_of(plan).outcome) == (Verdict.FAILED, Reason.INSUFFICIENT_CAPACITY)
    assert calls == [UNDO]


def test_a_plan_that_is_called_off_leaves_nothing_behind() -> None:
    at = Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), ballot=CANCELLED)

    plan, calls = run_to_the_end(applied(at), at, {"undo 0": with_key(TWO, None)})

    assert (plan.course.verdict, operation_of(plan).outcome) == (Verdict.CANCELLED, Reason.CANCELLED)
    assert calls == [UNDO]


def test_a_plan_without_its_policy_ends() -> None:
    plan = abandoned(verifying(Setting()), NOON, "its MilvusTuning was deleted")
    assert (plan.course.phase, plan.course.verdict) == (Phase.FINISHED, Verdict.CANCELLED)


STARTS = st.sampled_from([proposed, approved, measured, intended, applied, verifying, judged])
SETTINGS = st.builds(
    Setting,
    risk=st.sampled_from(Risk),
    spec=st.sampled_from([a_spec(), PROPOSE, OBSERVE, LISTED]),
    snapshot=st.sampled_from([TWO, THREE, ARRIVING, FROZEN, a_snapshot(5)]),
    decision=st.sampled_from([None, WANTED, STEADY, GROWTH]),
    ballot=st.sampled_from([None, APPROVED, REJECTED, CANCELLED]),
    deleting=st.booleans(),
    in_the_way=st.sampled_from([None, "spec.paused is true"]),
    enforced=st.booleans(),
    seconds=st.integers(min_value=10, max_value=5000).map(float),
    measured=st.sampled_from([CALM, SLOW, HALVED]),
)


@given(start=STARTS, at=SETTINGS)
def test_a_turn_taken_twice_is_the_same_turn(start: Callable[[Setting], Plan], at: Setting) -> None:
    """A restart after the record and before the deed reads back the record and comes to the same deed."""
    first = next_turn(start(at), at.sight())
    again = next_turn(first.plan, replace(at, seconds=at.seconds + 0.5).sight())
    course, same = first.plan.course, again.plan.course
    assert (same.phase, same.verdict, again.call, again.measure) == (
        course.phase,
        course.verdict,
        first.call,
        first.measure,
    )


@given(start=STARTS, at=SETTINGS)
def test_nothing_is_called_without_a_word_and_a_record(start: Callable[[Setting], Plan], at: Setting) -> None:
    turn: Turn = next_turn(start(at), at.sight())
    if turn.call is None:
        return
    record = operation_of(turn.plan).steps[turn.call.step_index]
    assert turn.plan.course.approval
    assert record.state is (StepState.UNDOING if turn.call.undo else StepState.INTENDED)
    assert turn.call.undo or turn.plan.course.before is not None


def test_a_read_only_operator_holds_a_roll_and_its_clock() -> None:
    at = Setting(steps=(a_restart("Proxy", count=2),))
    record = StepRecord(step=at.steps[0], state=StepState.INTENDED, intended_at=NOON)
    operation = Operation(operation_id="x", reason=Reason.SETTING_CHANGED, message="", started_at=NOON, steps=(record,))
    plan = at.plan(phase=Phase.RUNNING, operation=operation)

    turn = next_turn(plan, replace(at, read_only=True, seconds=60).sight())

    assert turn.call is None
    assert operation_of(turn.plan).steps == (replace(record, held_since=NOON + timedelta(seconds=60)),)
    assert next_turn(turn.plan, replace(at, read_only=True, seconds=9999).sight()) == Turn(plan=turn.plan)
    late = next_turn(turn.plan, replace(at, seconds=9999).sight()).plan
    assert operation_of(late).running, "it goes on, for no time has passed"
    assert not operation_of(next_turn(plan, replace(at, seconds=9999).sight()).plan).running
