"""Plans in each phase of their course, and the circumstances of a turn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.decide.proposing.proposal import intent_digest
from milvus_tuning.decide.running.lifecycle import (
    Sight,
    Window,
    next_turn,
    operation_of,
    with_measurement,
    with_success,
)
from milvus_tuning.decide.running.operation import Call
from milvus_tuning.plan import (
    Ballot,
    Course,
    Decision,
    Measurement,
    Phase,
    Plan,
    Prediction,
    Reason,
    Risk,
    Step,
    StepState,
    Verdict,
    Vote,
)
from milvus_tuning.snapshot import EtcdSetting, Freeze, FreezeReason, Snapshot
from tests.builders import NOON, a_change, a_snapshot, a_spec, a_workload, some_nodes
from tests.decide.steps import INTERVAL_KEY, a_key, a_scale, a_scale_in

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


ARRIVING = replace(TWO, workload=replace(a_workload(some_nodes(3)), ready_count=2, serving_count=2))
DRAINED = a_snapshot(2)
KEPT, BACK = End(phase=Phase.FINISHED, verdict=Verdict.KEPT), Call(step_index=0, undo=True)
