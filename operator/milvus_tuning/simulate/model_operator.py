"""The operator of the model world: the real decision and the real course of a plan, with calls into the model.

What outlives a crash is what the real operator keeps in its objects, through the same stored form; the signals of the
windows are memory and are lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from milvus_tuning.api import (
    MilvusTuningPlanStatus,
    MilvusTuningSpec,
    OperationStatus,
    PlanApproval,
    PlanChange,
    PlanVote,
)
from milvus_tuning.decide import decide
from milvus_tuning.decide.load import signal
from milvus_tuning.decide.memory import Insight, Memory, look_back, with_signal
from milvus_tuning.decide.proposing.hold_off import without_turned_down
from milvus_tuning.decide.proposing.proposal import propose
from milvus_tuning.decide.readback import integer
from milvus_tuning.decide.running.lifecycle import Sight, next_turn, steps_ended, with_measurement, with_success
from milvus_tuning.decide.running.operation import Call
from milvus_tuning.plan import Decision, History, Operation, Phase, Plan, Reason, Step, StepKind, Verdict
from milvus_tuning.simulate.cluster import ModelCluster
from milvus_tuning.simulate.scenario import Fault, FaultKind, Scenario
from milvus_tuning.simulate.view import POLICY_UID, measure, take_snapshot, virtual_time
from milvus_tuning.snapshot import Snapshot
from milvus_tuning.status.plans import (
    ballot_from_api,
    change_from_api,
    change_to_api,
    course_from_status,
    course_to_status,
    history_entry,
)
from milvus_tuning.status.records import operation_from_status

MOVES_PER_PASS = 12
FINISHED_KEPT = 20


@dataclass(slots=True, kw_only=True)
class StoredPlan:
    """A plan object as the API server would hold it."""

    name: str
    change: PlanChange
    approval: PlanApproval | None = None
    status: MilvusTuningPlanStatus = field(default_factory=MilvusTuningPlanStatus)
    _read: tuple[PlanApproval | None, MilvusTuningPlanStatus, Plan] | None = None

    def read(self) -> Plan:
        """The plan that is stored, parsed anew after each write only."""
        if self._read is None or self._read[0] is not self.approval or self._read[1] is not self.status:
            self._read = (self.approval, self.status, self._parsed())
        return self._read[2]

    def _parsed(self) -> Plan:
        change = change_from_api(self.change)
        course = course_from_status(self.status, change, name=self.name)
        return Plan(name=self.name, change=change, uid=self.name, ballot=ballot_from_api(self.approval), course=course)


@dataclass(slots=True, kw_only=True)
class Record:
    """What the objects hold: it outlives the operator."""

    plans: list[StoredPlan] = field(default_factory=list)
    finished: list[OperationStatus] = field(default_factory=list)
    _read: tuple[list[OperationStatus], tuple[Operation, ...]] | None = None

    def operations(self) -> tuple[Operation, ...]:
        """The operations that are finished, parsed anew only when the list is another one."""
        if self._read is None or self._read[0] is not self.finished:
            self._read = (self.finished, tuple(operation_from_status(stored) for stored in self.finished))
        return self._read[1]

    def open_plan(self) -> StoredPlan | None:
        """The plan that is not over."""
        return next((one for one in self.plans if one.read().open), None)

    def verdicts(self) -> tuple[Verdict, ...]:
        """How the plans ended, those that never began included, oldest first."""
        return tuple(verdict for one in self.plans if (verdict := one.read().course.verdict) is not None)


@dataclass(slots=True, kw_only=True)
class Journal:
    """What is kept about the run for its judgement."""

    decisions: list[tuple[float, Decision]] = field(default_factory=list)
    calls: list[tuple[float, StepKind, bool]] = field(default_factory=list)
    busy_until_seconds: float = 0.0
    peak_count: int = 0


_VOTES = {
    FaultKind.APPROVE: PlanVote.APPROVED,
    FaultKind.REJECT: PlanVote.REJECTED,
    FaultKind.CANCEL: PlanVote.CANCELLED,
}


class Crash(Exception):
    """The operator dies here."""


class ModelOperator:
    """Runs passes over the model cluster."""

    def __init__(self, scenario: Scenario, cluster: ModelCluster) -> None:
        self._scenario = scenario
        self._cluster = cluster
        self._spec: MilvusTuningSpec = scenario.policy()
        self._memory = Memory()
        self._insight: Insight | None = None
        self._crashes: list[Fault] = [one for one in scenario.faults if one.kind is FaultKind.CRASH_AFTER_CALL]
        self.record = Record()
        self.journal = Journal(peak_count=cluster.desired_count)

    def forget(self) -> None:
        """The process is gone; what it remembered goes with it."""
        self._memory = Memory()

    def run_pass(self) -> None:
        """One pass, as reconcile makes it."""
        try:
            self._pass()
        except Crash:
            self.forget()
        self.journal.peak_count = max(self.journal.peak_count, self._cluster.desired_count)

    def _pass(self) -> None:
        snapshot = take_snapshot(self._cluster, self._scenario)
        stored = self.record.open_plan()
        before = None if stored is None else stored.read()
        now = virtual_time(self._cluster.now_seconds)
        self._memory, self._insight = look_back(self._memory, self._spec, snapshot, self._history(before), now)
        decision = None
        if before is None or not before.at_work:
            decision = self._decide(snapshot, before)
        if stored is None and decision is not None and decision.steps:
            stored = self._propose(decision, snapshot)
        if stored is None:
            return
        self._vote(stored)
        if stored.read().begun and stored.read().course.phase is not Phase.VERIFYING:
            self.journal.busy_until_seconds = self._cluster.now_seconds
        self._carry_on(stored, decision)
        if steps_ended(before, stored.read()):
            self._memory = self._memory.after_a_change()
        if not stored.read().open and stored.read().begun:
            self.record.finished = [*self.record.finished, history_entry(stored.read())][-FINISHED_KEPT:]

    def _decide(self, snapshot: Snapshot, plan: Plan | None) -> Decision:
        now = virtual_time(self._cluster.now_seconds)
        self._memory = with_signal(self._memory, self._spec, snapshot, now)
        history = History(signals=self._memory.signals, operations=self._history(plan))
        heat, moves = (self._insight.heat, self._insight.moves) if self._insight else (None, None)
        decision = decide(self._spec, snapshot, history, now, policy_uid=POLICY_UID, heat=heat, moves=moves)
        decision = without_turned_down(decision, self._spec, [one.read() for one in self.record.plans], now)
        self.journal.decisions.append((self._cluster.now_seconds, decision))
        return decision

    def _history(self, plan: Plan | None) -> tuple[Operation, ...]:
        finished = self.record.operations()
        return (*finished, plan.course.operation) if plan is not None and plan.course.operation else finished

    def _propose(self, decision: Decision, snapshot: Snapshot) -> StoredPlan:
        now = virtual_time(self._cluster.now_seconds)
        plan = propose(
            decision,
            spec=self._spec,
            snapshot=snapshot,
            signal=signal(snapshot, now),
            policy_name="model",
            policy_uid=POLICY_UID,
            generation=1,
            sequence=len(self.record.plans) + 1,
            now=now,
        )
        stored = StoredPlan(name=plan.name, change=change_to_api(plan.change))
        self.record.plans.append(stored)
        return stored

    def _vote(self, stored: StoredPlan) -> None:
        """A person of the scenario speaks on the plan."""
        at, number = self._cluster.now_seconds, len(self.record.plans)
        for fault in self._scenario.faults:
            vote = _VOTES.get(fault.kind)
            said = stored.approval is not None and stored.approval.decision is vote
            if vote is not None and not said and fault.from_seconds <= at and fault.number in {0, number}:
                stored.approval = PlanApproval(decision=vote, by="person")

    def _carry_on(self, stored: StoredPlan, decision: Decision | None) -> None:
        for _ in range(MOVES_PER_PASS):
            turn = next_turn(stored.read(), self._sight(decision))
            self._write(stored, turn.plan)
            if turn.measure is not None:
                measured = measure(self._cluster, self._scenario, self._spec)
                self._write(stored, with_measurement(stored.read(), turn.measure, measured))
            elif turn.call is not None:
                message = self._call(stored.read(), turn.call)
                now = virtual_time(self._cluster.now_seconds)
                self._write(stored, with_success(stored.read(), turn.call, now, message))
            else:
                break

    def _sight(self, decision: Decision | None) -> Sight:
        now = virtual_time(self._cluster.now_seconds)
        started = [one.started_at for one in self.record.operations()]
        return Sight(
            spec=self._spec,
            snapshot=take_snapshot(self._cluster, self._scenario),
            now=now,
            decision=decision,
            started_within_hour=sum(1 for one in started if (now - one).total_seconds() < 3600),
            damping=bool(self._insight and self._insight.damping),
        )

    def _write(self, stored: StoredPlan, plan: Plan) -> None:
        now = virtual_time(self._cluster.now_seconds)
        if plan.course != stored.read().course:
            stored.status = course_to_status(plan.course, stored.status, now=now, generation=1)

    def _call(self, plan: Plan, call: Call) -> str:
        if plan.course.operation is None:
            raise ValueError(f"{plan.name} has not begun")
        step = call.of(plan.course.operation)
        message = perform(self._cluster, step, undo=call.undo)
        self.journal.calls.append((self._cluster.now_seconds, step.kind, call.undo))
        if any(crash.number == len(self.journal.calls) for crash in self._crashes):
            raise Crash
        return message


def perform(cluster: ModelCluster, step: Step, *, undo: bool) -> str:
    """The absolute write of a step on the model."""
    parameters = step.undo if undo else step.action
    match step.kind:
        case StepKind.SCALE_QUERY_NODES:
            return _scale(cluster, integer(parameters, "count"))
        case StepKind.DRAIN_QUERY_NODE:
            return _mark(cluster, str(parameters.get("pod")), integer(parameters, "deletionCost"))
        case StepKind.TAKE_PLACEMENT | StepKind.RETURN_PLACEMENT:
            cluster.auto_balance = (step.kind is StepKind.RETURN_PLACEMENT) is not undo
            return f"Milvus {'balances' if cluster.auto_balance else 'does not balance'}"
        case StepKind.MOVE_SEGMENTS:
            return _move(cluster, step, undo=undo)
        case StepKind.SET_REPLICA_NUMBER:
            return _copy(cluster, str(parameters.get("collection")), integer(parameters, "count"))
        case _:
            return _configure(cluster, step, undo=undo)


def _configure(cluster: ModelCluster, step: Step, *, undo: bool) -> str:
    """A key, or a pod that is to read it anew."""
    parameters = step.undo if undo else step.action
    if step.kind is StepKind.SET_CONFIG:
        return _set(cluster, str(step.action["key"]), parameters.get("value"))
    if step.kind is StepKind.RESTART_COMPONENT:
        cluster.evict(str(parameters.get("pod")))
        return f"pod {parameters.get('pod')} is leaving"
    raise ValueError(f"the model cluster has no {step.kind}")


def _scale(cluster: ModelCluster, count: int | None) -> str:
    if count is None:
        raise ValueError("a size without a count")
    cluster.desired_count = count
    return f"{count} QueryNodes asked for"


def _mark(cluster: ModelCluster, pod: str, cost: int | None) -> str:
    node = cluster.find(pod)
    if node is not None:
        node.deletion_cost = cost
    return f"deletion cost {cost} on {pod}"


def _copy(cluster: ModelCluster, collection: str, count: int | None) -> str:
    if count is None:
        raise ValueError("a number of replicas without a count")
    cluster.set_replica_number(collection, count)
    return f"{count} in-memory replicas of {collection} asked for"


def _set(cluster: ModelCluster, key: str, value: str | int | None) -> str:
    text = None if value is None else str(value)
    cluster.components.write(key, text, at_seconds=cluster.now_seconds)
    return f"{key} is {'unset' if text is None else text}"


def _move(cluster: ModelCluster, step: Step, *, undo: bool) -> str:
    here, there = str(step.precondition["pod"]), str(step.action["pod"])
    segments = [int(one) for one in str(step.action["segments"]).split()]
    for segment in segments:
        cluster.move(segment, there if undo else here, here if undo else there)
    return f"{len(segments)} segments moved"


def outcomes(record: Record) -> tuple[Reason, ...]:
    """How the finished operations ended, oldest first."""
    return tuple(Reason(stored.outcome) for stored in record.finished if stored.outcome)
