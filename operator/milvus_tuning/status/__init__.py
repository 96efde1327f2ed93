"""Status: what a person and a program read of one MilvusTuning. Pure: facts in, status out.

Numbers are quantised (percentages to 5, rates and latencies to two digits), so that noise rewrites nothing: the object
is written when something a reader would act on has changed, or when its data time is older than a minute. Of the heat,
an estimate, only what is more than its jitter counts as changed (`heat`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from milvus_tuning.api import (
    Condition,
    ConditionStatus,
    DecisionStatus,
    LastPlan,
    MilvusTuningStatus,
    Mode,
    Observed,
    ObservedNode,
    OperationStatus,
    RejectedAlternative,
)
from milvus_tuning.plan import WISHES, Decision, Operation, Phase, Plan, Reason, StepKind
from milvus_tuning.snapshot import QueryNode, Sample, SegmentState, Snapshot
from milvus_tuning.status.bounds import fitted, remembered
from milvus_tuning.status.conditions import Facts, Verdict, merge_conditions, skew_percent, verdicts
from milvus_tuning.status.config import config_status
from milvus_tuning.status.heat import (
    heat_has_moved,
    heat_percents,
    heat_status,
    moving_status,
    resource_groups,
    two_digits,
    without_heat,
)
from milvus_tuning.status.plans import history_entry
from milvus_tuning.status.profile import profile_status, without_measured
from milvus_tuning.status.records import format_time, operation_from_status, parse_time

HISTORY_LENGTH = 20
MOST_NODES = 20
MOST_REJECTED = 20
REFRESH_SECONDS = 60.0

__all__ = [
    "Facts",
    "Verdict",
    "build_status",
    "finished_operations",
    "format_time",
    "missing_from_history",
    "parse_time",
    "skew_percent",
    "stopped_status",
    "worth_writing",
]


def build_status(previous: MilvusTuningStatus, facts: Facts, *, generation: int, now: datetime) -> MilvusTuningStatus:
    """The whole status after a pass, given the one before it (for the times of its conditions and its history)."""
    conditions = merge_conditions(
        previous.conditions or [], verdicts(facts), now_text=format_time(now), generation=generation
    )
    finished = [remembered(history_entry(plan)) for plan in facts.finished]
    history = [*(previous.history or []), *finished][-HISTORY_LENGTH:]
    status = MilvusTuningStatus(
        observed_generation=generation,
        phase=phase(facts),
        last_action=_last_action(facts.plan, history),
        conditions=conditions,
        observed=_observed(facts, now),
        heat=heat_status(facts.heat, facts.snapshot) if facts.heat else None,
        ping_pong=moving_status(facts.moving) or None,
        decision=_decision(facts.decision, now),
        config=config_status(previous.config or [], facts.settings, now) or None,
        profile=profile_status(facts.profile, facts.snapshot.traffic) if facts.profile else None,
        last_plan=_last_plan(facts.plan) or previous.last_plan,
        history=history or None,
        benefit=facts.benefit or previous.benefit,
    )
    return fitted(status)


def stopped_status(
    previous: MilvusTuningStatus, reason: Reason, message: str, *, generation: int, now: datetime
) -> MilvusTuningStatus:
    """The status of an object that is left alone (it cannot be read, or its plan cannot): Ready and phase say so.

    What was observed before stays.
    """
    ready = Verdict(type="Ready", status=ConditionStatus.FALSE, reason=reason, message=message)
    before = previous.conditions or []
    conditions = merge_conditions(before, [ready], now_text=format_time(now), generation=generation)
    kept = [condition for condition in before if condition.type != ready.type]
    word = "Invalid" if reason is Reason.INVALID_SPEC else "Blocked"
    return previous.model_copy(
        update={"observed_generation": generation, "phase": word, "conditions": [*conditions, *kept]}
    )


def missing_from_history(before: MilvusTuningStatus, finished: Sequence[Plan]) -> tuple[Plan, ...]:
    """The plans that were begun and are over, and are not in the history yet."""
    known = {entry.id for entry in before.history or []}
    return tuple(plan for plan in finished if plan.begun and plan.name not in known)


def finished_operations(status: MilvusTuningStatus) -> tuple[Operation, ...]:
    """The finished operations on record, oldest first, without those that a newer operator wrote in unknown words."""
    finished = []
    for stored in status.history or []:
        try:
            finished.append(operation_from_status(stored))
        except ValueError:
            continue
    return tuple(finished)


def worth_writing(before: MilvusTuningStatus, after: MilvusTuningStatus, *, now: datetime) -> bool:
    """Whether the difference is one a reader would act on, or the stored data time has become old."""
    if _without_times(without_heat(before)) != _without_times(without_heat(after)) or heat_has_moved(before, after):
        return True
    stored = before.decision.time if before.decision else None
    return stored is None or now - parse_time(stored) > timedelta(seconds=REFRESH_SECONDS)


def phase(facts: Facts) -> str:
    """One word for people."""
    if facts.plan is not None and facts.plan.open:
        word = _plan_phase(facts.plan)
        if word is not None:
            return word
    words = {
        Reason.PAUSED: "Paused",
        Reason.READ_ONLY: "Paused",
        Reason.CONFLICT: "Conflict",
        Reason.FROZEN: "Frozen",
        Reason.COOLDOWN: "Resting",
        Reason.STABILIZING: "Stabilizing",
        Reason.STEADY: "Steady",
        Reason.WITHIN_TOLERANCE: "Steady",
        Reason.MANUAL_OVERRIDE: "Overridden",
        Reason.AT_MAXIMUM: "Limited",
        Reason.AT_MINIMUM: "Steady",
        Reason.SKEW_NOT_CAPACITY: "Skewed",
        Reason.NO_BETTER_PLACEMENT: "Skewed",
        Reason.NO_NEUTRAL_SWAP: "Skewed",
        Reason.MOVES_UNDONE: "Resting",
        Reason.ROLLED_BACK: "Resting",
        Reason.MANUAL_ACTION_REQUIRED: "Limited",
    }
    word = words.get(facts.decision.reason, "Blocked")
    observing = facts.spec.mode is Mode.OBSERVE and (facts.decision.reason in WISHES or word != "Blocked")
    return "Observing" if observing or facts.decision.reason is Reason.NOT_MANAGED else word


def _plan_phase(plan: Plan) -> str | None:
    """What an open plan makes of the phase; a plan that waits says nothing while the policy itself is paused."""
    match plan.course.phase:
        case Phase.PROPOSED:
            return "AwaitingApproval"
        case Phase.APPROVED:
            return "AwaitingStart"
        case Phase.RUNNING:
            return _running_phase(plan)
        case Phase.VERIFYING:
            return "Verifying"
        case _:
            return "RollingBack"


def _running_phase(plan: Plan) -> str:
    kinds = {step.kind for step in plan.change.steps}
    if StepKind.DRAIN_QUERY_NODE in kinds:
        return "ScalingIn"
    words = {
        StepKind.SCALE_QUERY_NODES: "ScalingOut",
        StepKind.MOVE_SEGMENTS: "MovingSegments",
        StepKind.SET_REPLICA_NUMBER: "ChangingReplicas",
    }
    return next((word for kind, word in words.items() if kind in kinds), "Configuring")


def _last_plan(plan: Plan | None) -> LastPlan | None:
    if plan is None:
        return None
    return LastPlan(
        name=plan.name,
        sequence=plan.change.sequence,
        phase=plan.course.phase,
        risk=plan.change.risk,
        message=plan.change.message[:2048],
        waits_for=plan.course.waits_for[:2048] or None,
        verdict=plan.course.verdict,
    )


def _last_action(plan: Plan | None, history: Sequence[OperationStatus]) -> str | None:
    """The newest change in a few words, for the column: "ScaleQueryNodes 2 -> 3: Kept"."""
    if plan is not None and plan.open and plan.begun:
        return f"{_in_words(history_entry(plan))}: {plan.course.phase}"
    return f"{_in_words(history[-1])}: {history[-1].verdict or history[-1].outcome}" if history else None


def _in_words(operation: OperationStatus) -> str:
    if not operation.steps:
        return operation.reason
    moves = [step.action or {} for step in operation.steps if step.kind == StepKind.MOVE_SEGMENTS]
    if moves:
        return f"{StepKind.MOVE_SEGMENTS} {sum(len((move.get('segments') or '').split()) for move in moves)}"
    step = operation.steps[-1]
    before, after = step.precondition or {}, step.action or {}
    if step.kind == StepKind.SCALE_QUERY_NODES:
        return f"{step.kind} {before.get('desiredCount')} -> {after.get('count')}"
    if step.kind == StepKind.SET_REPLICA_NUMBER:
        return f"{step.kind} {before.get('count')} -> {after.get('count')}"
    if step.kind in {StepKind.SET_COLLECTION_PROPERTY, StepKind.SET_SCHEDULING}:
        return f"{step.kind} {before.get('value') or 'none'} -> {after.get('value') or 'none'}"
    return f"{step.kind} {after.get('key') or after.get('pod') or after.get('component') or ''}".strip()[:200]


def _observed(facts: Facts, now: datetime) -> Observed:
    snapshot, signal = facts.snapshot, facts.signal
    workload = snapshot.workload
    serving = len(snapshot.members) if workload is None or workload.serving_count is None else workload.serving_count
    copies = Counter(replica.collection_id for replica in snapshot.replicas)
    return Observed(
        data_time=_data_time(snapshot, now),
        milvus_version=snapshot.milvus_version,
        nodes=f"{serving}/{workload.desired_count}" if workload else None,
        desired_count=workload.desired_count if workload else None,
        ready_count=workload.ready_count if workload else None,
        serving_count=serving if workload else None,
        replicas=max(copies.values(), default=None),
        collections=len(snapshot.collections),
        capacity_percent=_percent(signal.capacity_ratio),
        computation_percent=_percent(signal.computation_ratio),
        skew_percent=_to_five(skew_percent(signal)),
        searches_per_second=_two_digits(snapshot.traffic.searches_per_second),
        p99_milliseconds=_two_digits(snapshot.traffic.p99_milliseconds),
        query_nodes=_observed_nodes(facts) or None,
    )


def _observed_nodes(facts: Facts) -> list[ObservedNode]:
    """At most 20 QueryNodes, the hottest ones where there are more, in the order of the snapshot."""
    percents, snapshot = heat_percents(facts.heat), facts.snapshot
    hottest = sorted(snapshot.query_nodes, key=lambda node: -percents.get(node.node_id or 0, 0))[:MOST_NODES]
    return [_observed_node(node, snapshot, percents) for node in snapshot.query_nodes if node in hottest]


def _observed_node(node: QueryNode, snapshot: Snapshot, percents: Mapping[int, int]) -> ObservedNode:
    held = [
        segment
        for segment in snapshot.segments
        if node.node_id in segment.node_ids and segment.state is SegmentState.SEALED
    ]
    return ObservedNode(
        pod=node.pod,
        node_id=node.node_id,
        ready=node.ready,
        terminating=node.terminating or None,
        capacity_percent=_percent(_ratio(node.resident_memory_bytes, node.memory_limit_bytes)),
        computation_percent=_percent(_ratio(node.cpu_cores, node.cpu_limit_cores)),
        rows=sum(segment.rows for segment in held),
        segments=len(held),
        heat_percent=None if node.node_id is None else percents.get(node.node_id),
        resource_groups=resource_groups(node.node_id, snapshot),
    )


def _ratio(sample: Sample, limit: float | None) -> float | None:
    return None if sample.value is None or not limit else sample.value / limit


def _percent(ratio: float | None) -> int | None:
    return None if ratio is None else _to_five(round(ratio * 100))


def _to_five(percent: int | None) -> int | None:
    return None if percent is None else 5 * round(percent / 5)


def _two_digits(sample: Sample) -> int | None:
    return None if sample.value is None else two_digits(sample.value)


def _data_time(snapshot: Snapshot, now: datetime) -> str:
    ages = [node.cpu_cores.age_seconds for node in snapshot.members if node.cpu_cores.value is not None]
    return format_time(now - timedelta(seconds=max(ages, default=0.0)))


def _decision(decision: Decision, now: datetime) -> DecisionStatus:
    return DecisionStatus(
        reason=decision.reason,
        message=decision.message[:2048],
        time=format_time(now),
        desired_count=decision.desired_count,
        inputs={name: _input(value) for name, value in sorted(decision.inputs.items())} or None,
        rejected=[
            RejectedAlternative(
                alternative=rejection.alternative[:253], reason=rejection.reason, message=rejection.message[:2048]
            )
            for rejection in decision.rejected[:MOST_REJECTED]
        ]
        or None,
    )


def _input(value: float | str | None) -> str | None:
    if isinstance(value, float):
        return f"{value:.3g}"
    return None if value is None else str(value)[:1024]


def _without_times(status: MilvusTuningStatus) -> MilvusTuningStatus:
    decision, observed = status.decision, status.observed
    return without_measured(status).model_copy(
        update={
            "decision": _without_numbers(decision) if decision else None,
            "benefit": None,
            "observed": observed.model_copy(update={"data_time": None}) if observed else None,
            "conditions": [_without_message(condition) for condition in status.conditions or []],
        }
    )


def _without_numbers(decision: DecisionStatus) -> DecisionStatus:
    rejected = [rejection.model_copy(update={"message": ""}) for rejection in decision.rejected or []]
    return decision.model_copy(update={"time": None, "inputs": None, "message": "", "rejected": rejected})


def _without_message(condition: Condition) -> Condition:
    return condition.model_copy(update={"message": ""})
