"""The course of a plan: every transition and every refusal, as a table over phase and circumstances.

Each row starts from a plan in some phase, changes one thing, and says where the plan is afterwards and what is to be
done. What the plan does when nothing is changed is the first row of its phase: the control of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.decide.lifecycle import (
    Sight,
    Turn,
    Window,
    abandoned,
    next_turn,
    operation_of,
    with_failure,
    with_measurement,
    with_success,
)
from milvus_tuning.decide.operation import Call
from milvus_tuning.decide.proposal import intent_digest
from milvus_tuning.plan import (
    Ballot,
    Course,
    Decision,
    Measurement,
    Operation,
    Phase,
    Plan,
    Prediction,
    Reason,
    Risk,
    Step,
    StepRecord,
    StepState,
    Verdict,
    Vote,
)
from milvus_tuning.snapshot import EtcdSetting, Freeze, FreezeReason, Snapshot
from tests.builders import NOON, a_change, a_snapshot, a_spec, a_workload, some_nodes
from tests.decide.steps import INTERVAL_KEY, a_key, a_restart, a_scale, a_scale_in

TWO, THREE = a_snapshot(2), a_snapshot(3)
OUT, IN = (a_scale(2, 3),), a_scale_in(3)
SETTING = (a_key(before=None, after="30000"),)
FROZEN = replace(TWO, freezes=(Freeze(reason=FreezeReason.LOADING, message="products is at 50 %"),))
WINDOW_SECONDS = 210  # thirty to settle, 180 to measure
STEADY = Decision(reason=Reason.STEADY, message="nothing is called for")
GROWTH = Decision(reason=Reason.SCALE_OUT_COMPUTATION, message="3 -> 4", steps=(a_scale(3, 4),))
WANTED = Decision(reason=Reason.SCALE_OUT_COMPUTATION, message="2 -> 3", steps=OUT)
CALM = Measurement(
    ended_at=NOON, window_seconds=180, searches_per_minute=6000, mean_microseconds=20_000, failed_searches_per_million=0
)
SLOW, HALVED = replace(CALM, mean_microseconds=60_000), replace(CALM, searches_per_minute=3000)


def with_key(snapshot: Snapshot, value: str | None) -> Snapshot:
    """The snapshot with etcd read, and this value of the key."""
    stored = EtcdSetting(key=INTERVAL_KEY, value=value or "", spellings=(INTERVAL_KEY,), revision=1)
    settings = {INTERVAL_KEY.replace(".", ""): stored} if value is not None else {}
    return replace(snapshot, settings=settings, settings_readable=True, etcd_root_path="by-dev")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the plan is and what it meets."""

    steps: tuple[Step, ...] = OUT
    risk: Risk = Risk.MEDIUM
    spec: MilvusTuningSpec = field(default_factory=a_spec)
    snapshot: Snapshot = TWO
    decision: Decision | None = WANTED
    ballot: Ballot | None = None
    deleting: bool = False
    in_the_way: str | None = None
    enforced: bool = True
    started: int = 0
    read_only: bool = False
    seconds: float = 10.0  # since noon
    measured: Measurement = CALM

    def sight(self) -> Sight:
        now = NOON + timedelta(seconds=self.seconds)
        return Sight(
            spec=self.spec,
            snapshot=replace(self.snapshot, taken_at=now),
            now=now,
            decision=self.decision,
            in_the_way=self.in_the_way,
            read_only=self.read_only,
            started_within_hour=self.started,
            admission_enforced=self.enforced,
        )

    def plan(self, **course: Any) -> Plan:
        counts = (3, 2) if self.steps is IN else (2, 3) if self.steps is OUT else (2, 2)
        change = a_change(
            steps=self.steps,
            risk=self.risk,
            intent_digest=intent_digest(self.spec),
            prediction=Prediction(node_count_before=counts[0], node_count_after=counts[1]),
        )
        return Plan(
            name="rag-0123456789",
            change=change,
            uid="uid",
            ballot=self.ballot,
            deleting=self.deleting,
            course=Course(**course),
        )


def proposed(at: Setting) -> Plan:
    return at.plan()


def approved(at: Setting) -> Plan:
    return at.plan(phase=Phase.APPROVED, approval="automatic", approved_at=NOON)


def measured(at: Setting) -> Plan:
    return replace(approved(at), course=replace(approved(at).course, before=CALM))


def intended(at: Setting) -> Plan:
    """With the intent of the first step on record, and its call perhaps made."""
    fresh = Setting(steps=at.steps, snapshot=_before(at), decision=None, seconds=1)
    turn = next_turn(measured(fresh), fresh.sight())
    assert turn.call == Call(step_index=0, undo=False), turn
    return _as_told(turn.plan, at)


def applied(at: Setting) -> Plan:
    """With the first call made, and nothing seen of it yet."""
    return with_success(intended(at), Call(step_index=0, undo=False), NOON + timedelta(seconds=2), "made")


def verifying(at: Setting) -> Plan:
    """With all steps done and the window running."""
    plan = intended(at)
    records = tuple(
        replace(record, state=StepState.DONE, finished_at=NOON + timedelta(seconds=3))
        for record in operation_of(plan).steps
    )
    done = replace(operation_of(plan), steps=records, finished_at=NOON, outcome=Reason.COMPLETED)
    until = NOON + timedelta(seconds=WINDOW_SECONDS)
    return replace(plan, course=replace(plan.course, phase=Phase.VERIFYING, operation=done, verify_until=until))


def judged(at: Setting) -> Plan:
    """With the second measurement taken."""
    return with_measurement(verifying(at), Window.AFTER, at.measured)


def _before(at: Setting) -> Snapshot:
    """The world that the steps start from."""
    if at.steps is SETTING:
        return with_key(TWO, None)
    return THREE if at.steps is IN else TWO


def _as_told(plan: Plan, at: Setting) -> Plan:
    return replace(plan, ballot=at.ballot, deleting=at.deleting)


@dataclass(frozen=True, kw_only=True)
class End:
    """Where the plan is after the turn."""

    phase: Phase
    verdict: Verdict | None = None
    call: Call | None = None
    measure: Window | None = None
    says: str = ""


REJECTED, CANCELLED = Ballot(vote=Vote.REJECTED, by="ann", reason="not today"), Ballot(vote=Vote.CANCELLED)
APPROVED = Ballot(vote=Vote.APPROVED, by="bob")
ACT, UNDO = Call(step_index=0, undo=False), Call(step_index=0, undo=True)
PROPOSE, OBSERVE = a_spec(mode=Mode.PROPOSE), a_spec(mode=Mode.OBSERVE)
LISTED = a_spec(mode=Mode.PROPOSE, approval={"approvedPlans": ["rag-0123456789"]})
OTHER = a_spec(mode=Mode.PROPOSE, approval={"approvedPlans": ["rag-9999999999"]})
CAPPED = a_spec(approval={"automatic": {"maxActionsPerHour": 5}})
NONE_ADDED = a_spec(approval={"automatic": {"maxNodesAdded": 0}})
NIGHT = a_spec(
    maintenanceWindows=[{"name": "night", "schedule": "0 2 * * *", "durationMinutes": 60, "allows": ["ScaleOut"]}]
)
NOON_WINDOW = a_spec(
    maintenanceWindows=[{"name": "noon", "schedule": "0 12 * * *", "durationMinutes": 60, "allows": ["ScaleOut"]}]
)
DUE = WINDOW_SECONDS + 1.0

BEFORE_IT_BEGINS: dict[str, tuple[Callable[[Setting], Plan], Setting, End]] = {
    "within the bounds of mode Auto": (proposed, Setting(), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "above maxRisk": (proposed, Setting(risk=Risk.HIGH), End(phase=Phase.PROPOSED, says="maxRisk Medium")),
    "more nodes than maxNodesAdded": (
        proposed,
        Setting(spec=NONE_ADDED),
        End(phase=Phase.PROPOSED, says="maxNodesAdded is 0"),
    ),
    "as many actions within the hour as are allowed": (
        proposed,
        Setting(spec=CAPPED, started=5),
        End(phase=Phase.PROPOSED, says="maxActionsPerHour is 5"),
    ),
    "one action fewer": (proposed, Setting(spec=CAPPED, started=4), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "outside of its window": (proposed, Setting(spec=NIGHT), End(phase=Phase.PROPOSED, says="night")),
    "inside of its window": (proposed, Setting(spec=NOON_WINDOW), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "without the admission policy": (
        proposed,
        Setting(enforced=False),
        End(phase=Phase.PROPOSED, says="admission policy"),
    ),
    "mode Propose": (proposed, Setting(spec=PROPOSE), End(phase=Phase.PROPOSED, says="mode is Propose")),
    "mode Propose and a person approves": (
        proposed,
        Setting(spec=PROPOSE, ballot=APPROVED),
        End(phase=Phase.APPROVED, measure=Window.BEFORE),
    ),
    "a person approves what is above maxRisk": (
        proposed,
        Setting(risk=Risk.HIGH, ballot=APPROVED),
        End(phase=Phase.APPROVED, measure=Window.BEFORE),
    ),
    "named in the policy": (proposed, Setting(spec=LISTED), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "another plan is named in the policy": (proposed, Setting(spec=OTHER), End(phase=Phase.PROPOSED)),
    "a person rejects": (
        proposed,
        Setting(ballot=REJECTED),
        End(phase=Phase.FINISHED, verdict=Verdict.REJECTED, says="by ann: not today"),
    ),
    "a person rejects what the policy names": (
        proposed,
        Setting(spec=LISTED, ballot=REJECTED),
        End(phase=Phase.FINISHED, verdict=Verdict.REJECTED),
    ),
    "a person calls it off": (
        proposed,
        Setting(ballot=CANCELLED),
        End(phase=Phase.FINISHED, verdict=Verdict.CANCELLED),
    ),
    "deleted": (proposed, Setting(deleting=True), End(phase=Phase.FINISHED, verdict=Verdict.CANCELLED)),
    "the last second before it expires": (
        proposed,
        Setting(seconds=3599),
        End(phase=Phase.APPROVED, measure=Window.BEFORE),
    ),
    "expired": (proposed, Setting(seconds=3600), End(phase=Phase.FINISHED, verdict=Verdict.EXPIRED)),
    "approved too late": (
        proposed,
        Setting(seconds=3600, ballot=APPROVED),
        End(phase=Phase.FINISHED, verdict=Verdict.EXPIRED),
    ),
    "somebody did it already": (
        proposed,
        Setting(snapshot=THREE),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE, says="already"),
    ),
    "no longer called for": (
        proposed,
        Setting(decision=STEADY),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE, says="no change"),
    ),
    "something else is called for": (
        proposed,
        Setting(decision=replace(WANTED, steps=(a_scale(2, 4),))),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE, says="another change"),
    ),
    "approved, and nothing in the way": (approved, Setting(), End(phase=Phase.APPROVED, measure=Window.BEFORE)),
    "approved, and mode Observe meanwhile": (
        approved,
        Setting(spec=OBSERVE),
        End(phase=Phase.APPROVED, says="mode is Observe"),
    ),
    "approved, and paused": (
        approved,
        Setting(in_the_way="spec.paused is true"),
        End(phase=Phase.APPROVED, says="spec.paused"),
    ),
    "approved, and Milvus loads": (approved, Setting(snapshot=FROZEN), End(phase=Phase.APPROVED, says="products")),
    "approved, then rejected": (
        approved,
        Setting(ballot=REJECTED),
        End(phase=Phase.FINISHED, verdict=Verdict.REJECTED),
    ),
    "approved, and the world moved on": (
        approved,
        Setting(snapshot=a_snapshot(5)),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE),
    ),
    "measured: the first intent, and its call": (measured, Setting(), End(phase=Phase.RUNNING, call=ACT)),
    "measured, and paused at the last moment": (
        measured,
        Setting(in_the_way="spec.paused is true"),
        End(phase=Phase.APPROVED),
    ),
}

ARRIVING = replace(TWO, workload=replace(a_workload(some_nodes(3)), ready_count=2, serving_count=2))
DRAINED = a_snapshot(2)
KEPT, BACK = End(phase=Phase.FINISHED, verdict=Verdict.KEPT), Call(step_index=0, undo=True)

WHILE_IT_RUNS: dict[str, tuple[Callable[[Setting], Plan], Setting, End]] = {
    "intended, and nothing seen of it": (intended, Setting(), End(phase=Phase.RUNNING, call=ACT)),
    "intended, and the operator is read-only": (intended, Setting(read_only=True), End(phase=Phase.RUNNING)),
    "intended, and its write is there": (intended, Setting(snapshot=ARRIVING), End(phase=Phase.RUNNING)),
    "intended, and its effect is there": (intended, Setting(snapshot=THREE), End(phase=Phase.VERIFYING)),
    "intended, and somebody wrote another number": (
        intended,
        Setting(snapshot=a_snapshot(5)),
        End(phase=Phase.FINISHED, verdict=Verdict.STALE, says="somebody else"),
    ),
    "intended, then called off: the write may be there": (
        intended,
        Setting(ballot=CANCELLED, snapshot=ARRIVING),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "intended, then called off: nothing was written": (
        intended,
        Setting(ballot=CANCELLED),
        End(phase=Phase.FINISHED, verdict=Verdict.CANCELLED),
    ),
    "written, and not there yet": (applied, Setting(snapshot=ARRIVING), End(phase=Phase.RUNNING)),
    "written, and there": (applied, Setting(snapshot=THREE), End(phase=Phase.VERIFYING)),
    "written, and never there": (
        applied,
        Setting(snapshot=ARRIVING, seconds=1000),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "written, then called off": (
        applied,
        Setting(snapshot=ARRIVING, ballot=CANCELLED),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "written, then its object is deleted": (
        applied,
        Setting(snapshot=ARRIVING, deleting=True),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "a setting is written, then called off": (
        applied,
        Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), ballot=CANCELLED),
        End(phase=Phase.RUNNING, call=UNDO),
    ),
    "a pause does not stop what is written": (
        applied,
        Setting(snapshot=THREE, in_the_way="spec.paused is true"),
        End(phase=Phase.VERIFYING),
    ),
}

AFTER_THE_STEPS: dict[str, tuple[Callable[[Setting], Plan], Setting, End]] = {
    "the window is running": (verifying, Setting(decision=STEADY), End(phase=Phase.VERIFYING)),
    "the window is over": (
        verifying,
        Setting(decision=STEADY, seconds=DUE),
        End(phase=Phase.VERIFYING, measure=Window.AFTER),
    ),
    "what the plan itself was made from is no call for more": (
        verifying,
        Setting(decision=WANTED, snapshot=THREE),
        End(phase=Phase.VERIFYING),
    ),
    "more nodes are called for meanwhile": (
        verifying,
        Setting(decision=GROWTH, snapshot=THREE),
        End(phase=Phase.FINISHED, verdict=Verdict.INCONCLUSIVE, says="more QueryNodes"),
    ),
    "called off while it is verified: a setting goes back": (
        verifying,
        Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), ballot=CANCELLED, decision=STEADY),
        End(phase=Phase.ROLLING_BACK, call=BACK),
    ),
    "called off while it is verified: a node that serves stays": (
        verifying,
        Setting(snapshot=THREE, ballot=CANCELLED, decision=STEADY),
        End(phase=Phase.FINISHED, verdict=Verdict.CANCELLED, says="stay"),
    ),
    "as before": (judged, Setting(decision=STEADY, seconds=DUE), KEPT),
    "worse after a setting": (
        judged,
        Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), decision=STEADY, seconds=DUE, measured=SLOW),
        End(phase=Phase.ROLLING_BACK, call=BACK, says="mean"),
    ),
    "as before after a setting": (
        judged,
        Setting(steps=SETTING, snapshot=with_key(TWO, "30000"), decision=STEADY, seconds=DUE),
        KEPT,
    ),
    "worse after a setting, under half the load": (
        judged,
        Setting(
            steps=SETTING,
            snapshot=with_key(TWO, "30000"),
            decision=STEADY,
            seconds=DUE,
            measured=replace(SLOW, searches_per_minute=HALVED.searches_per_minute),
        ),
        End(phase=Phase.FINISHED, verdict=Verdict.INCONCLUSIVE),
    ),
    "slower after a scale-in, as fewer nodes must be": (
        judged,
        Setting(
            steps=IN,
            snapshot=DRAINED,
            decision=STEADY,
            seconds=DUE,
            measured=replace(CALM, mean_microseconds=32_000),
        ),
        KEPT,
    ),
    "as much slower after a setting": (
        judged,
        Setting(
            steps=SETTING,
            snapshot=with_key(TWO, "30000"),
            decision=STEADY,
            seconds=DUE,
            measured=replace(CALM, mean_microseconds=32_000),
        ),
        End(phase=Phase.ROLLING_BACK, call=BACK),
    ),
    "worse after a scale-in": (
        judged,
        Setting(steps=IN, snapshot=DRAINED, decision=STEADY, seconds=DUE, measured=SLOW),
        End(phase=Phase.ROLLING_BACK, call=Call(step_index=1, undo=True)),
    ),
    "worse after a scale-out: a node that serves stays": (
        judged,
        Setting(snapshot=THREE, decision=STEADY, seconds=DUE, measured=SLOW),
        End(phase=Phase.FINISHED, verdict=Verdict.KEPT, says="stay"),
    ),
    "nothing was measured": (
        judged,
        Setting(decision=STEADY, seconds=DUE, measured=Measurement(ended_at=NOON, window_seconds=180)),
        End(phase=Phase.FINISHED, verdict=Verdict.INCONCLUSIVE),
    ),
}

TABLE = BEFORE_IT_BEGINS | WHILE_IT_RUNS | AFTER_THE_STEPS


@pytest.mark.parametrize(("start", "at", "end"), TABLE.values(), ids=TABLE.keys())
def test_a_turn(start: Callable[[Setting], Plan], at: Setting, end: End) -> None:
    turn = next_turn(start(at), at.sight())

    course = turn.plan.course
    assert (course.phase, turn.call, turn.measure) == (end.phase, end.call, end.measure), course
    assert course.verdict is end.verdict or course.phase is Phase.ROLLING_BACK
    told = f"{course.waits_for} {course.verdict_message} {course.approval}"
    assert end.says in told
    assert (course.finished_at is not None) is (course.phase is Phase.FINISHED)


def test_every_phase_and_every_verdict_is_in_the_table() -> None:
    ends = [end for _, _, end in TABLE.values()]
    assert {end.phase for end in ends} == set(Phase)
    assert {end.verdict for end in ends if end.verdict} == set(Verdict) - {Verdict.ROLLED_BACK, Verdict.FAILED}


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
