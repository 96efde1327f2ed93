"""What a reader of the object sees, as tables: conditions, the one-word phase, and when the object is written again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from milvus_tuning.api import ConditionStatus, MilvusTuningSpec, MilvusTuningStatus
from milvus_tuning.plan import (
    Change,
    Course,
    Decision,
    Operation,
    Phase,
    Plan,
    Prediction,
    Reason,
    Risk,
    SettingState,
    SettingStatus,
    Signal,
    Step,
    StepKind,
    StepRecord,
    Verdict,
)
from milvus_tuning.snapshot import (
    Freeze,
    FreezeReason,
    Problem,
    ProblemKind,
    Sample,
    Snapshot,
    Traffic,
    Workload,
    WorkloadKind,
)
from milvus_tuning.status import (
    Facts,
    build_status,
    missing_from_history,
    stopped_status,
    worth_writing,
)
from milvus_tuning.status.conditions import verdicts

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
QUERY_NODES = {
    "connections": {"prometheus": {"url": "http://prometheus:9090"}},
    "queryNodes": {"minCount": 2, "maxCount": 4},
}


def some_spec(**fields: Any) -> MilvusTuningSpec:
    body = {"targetRef": {"kind": "HelmRelease", "name": "my-release"}, "mode": "Auto", **QUERY_NODES, **fields}
    return MilvusTuningSpec.model_validate({name: value for name, value in body.items() if value is not None})


def some_facts(**changes: Any) -> Facts:
    workload = Workload(
        kind=WorkloadKind.DEPLOYMENT, namespace="milvus", name="qn", desired_count=2, ready_count=2, serving_count=2
    )
    facts = Facts(
        spec=some_spec(),
        snapshot=Snapshot(taken_at=NOW, workload=workload, milvus_version="2.3.5"),
        decision=Decision(reason=Reason.STEADY, message="all is well", desired_count=2),
        signal=Signal(at=NOW, node_count=2, capacity_ratio=0.3, computation_ratio=0.45, even_computation_ratio=0.4),
    )
    return replace(facts, **changes)


def with_problem(kind: ProblemKind) -> Snapshot:
    return replace(some_facts().snapshot, problems=(Problem(kind=kind, message="tried and failed"),))


def status_of(kind: str, facts: Facts) -> tuple[ConditionStatus, str] | None:
    found = {verdict.type: (verdict.status, verdict.reason) for verdict in verdicts(facts)}
    return found.get(kind)


TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
FINISHED = Operation(
    operation_id="x", reason=Reason.SCALE_OUT_CAPACITY, message="2 -> 3", started_at=NOW, steps=(), finished_at=NOW
)
P99_OBJECTIVE = {"objectives": {"searchLatencyP99Milliseconds": 100}}


def slow(milliseconds: float) -> Snapshot:
    return replace(some_facts().snapshot, traffic=Traffic(p99_milliseconds=Sample(value=milliseconds)))


CONDITIONS: dict[str, tuple[str, dict[str, Any], tuple[ConditionStatus, str] | None]] = {
    "a cluster that is observed": ("Ready", {}, (TRUE, "Observed")),
    "a target that is not there": (
        "Ready",
        {"snapshot": with_problem(ProblemKind.TARGET_NOT_FOUND)},
        (FALSE, "TargetNotFound"),
    ),
    "a Prometheus that is down": (
        "MetricsAvailable",
        {"snapshot": with_problem(ProblemKind.PROMETHEUS_UNREACHABLE)},
        (FALSE, "PrometheusUnreachable"),
    ),
    "metrics that are too old": (
        "MetricsAvailable",
        {"decision": Decision(reason=Reason.METRICS_STALE, message="")},
        (FALSE, "MetricsStale"),
    ),
    "no Prometheus declared": (
        "MetricsAvailable",
        {"spec": some_spec(connections=None, queryNodes=None)},
        None,
    ),
    "a version that is too old": (
        "VersionSupported",
        {"snapshot": with_problem(ProblemKind.VERSION_UNSUPPORTED)},
        (FALSE, "VersionUnsupported"),
    ),
    "a conflict and the right to scale": (
        "AbleToScale",
        {"decision": Decision(reason=Reason.CONFLICT, message="an HPA")},
        (FALSE, "Conflict"),
    ),
    "a conflict by its own name": (
        "Conflict",
        {"decision": Decision(reason=Reason.CONFLICT, message="an HPA")},
        (TRUE, "Conflict"),
    ),
    "mode Observe": ("ScalingActive", {"spec": some_spec(mode="Observe")}, (FALSE, "ObserveOnly")),
    "a paused policy": ("Paused", {"spec": some_spec(paused=True)}, (TRUE, "Paused")),
    "a read-only operator": ("Paused", {"read_only": True}, (TRUE, "ReadOnly")),
    "the upper bound": (
        "ScalingLimited",
        {"decision": Decision(reason=Reason.AT_MAXIMUM, message="", limited=Reason.AT_MAXIMUM)},
        (TRUE, "AtMaximum"),
    ),
    "a step that the maximum per operation cut short": (
        "ScalingLimited",
        {"decision": Decision(reason=Reason.SCALE_OUT_CAPACITY, message="", limited=Reason.STEP_LIMITED)},
        (TRUE, "StepLimited"),
    ),
    "a node that never came": (
        "CapacityAvailable",
        {"last_finished": replace(FINISHED, outcome=Reason.INSUFFICIENT_CAPACITY)},
        (FALSE, "InsufficientCapacity"),
    ),
    "a skew within the bound": ("Balanced", {}, (TRUE, "WithinBound")),
    "a skew beyond the bound": (
        "Balanced",
        {"signal": replace(some_facts().signal, computation_ratio=0.9)},
        (FALSE, "Skewed"),
    ),
    "an idle cluster": ("Balanced", {"signal": replace(some_facts().signal, even_computation_ratio=0.0)}, None),
    "an objective that is met": (
        "WithinObjectives",
        {"spec": some_spec(**P99_OBJECTIVE), "snapshot": slow(99)},
        (TRUE, "Met"),
    ),
    "an objective that is missed": (
        "WithinObjectives",
        {"spec": some_spec(**P99_OBJECTIVE), "snapshot": slow(101)},
        (FALSE, "Missed"),
    ),
    "an objective without traffic": (
        "WithinObjectives",
        {"spec": some_spec(**P99_OBJECTIVE)},
        (ConditionStatus.UNKNOWN, "NoTraffic"),
    ),
    "a setting without a live key": (
        "ConfigInSync",
        {
            "settings": (
                SettingStatus(
                    intent="loadBalancing.balanceIntervalSeconds",
                    key=None,
                    desired=None,
                    effective=None,
                    source=None,
                    state=SettingState.UNSUPPORTED,
                    message="no lever",
                ),
            )
        },
        (FALSE, "Unsupported"),
    ),
    "a cluster that loads": (
        "Frozen",
        {"snapshot": replace(some_facts().snapshot, freezes=(Freeze(reason=FreezeReason.LOADING, message="60 %"),))},
        (TRUE, "Loading"),
    ),
}


@pytest.mark.parametrize(("kind", "changes", "expected"), CONDITIONS.values(), ids=CONDITIONS.keys())
def test_condition(kind: str, changes: dict[str, Any], expected: tuple[ConditionStatus, str] | None) -> None:
    assert status_of(kind, some_facts(**changes)) == expected


PHASES = {
    "nothing to do": (some_facts(), "Steady"),
    "mode Observe": (some_facts(spec=some_spec(mode="Observe")), "Observing"),
    "a wish in mode Observe": (
        some_facts(spec=some_spec(mode="Observe"), decision=Decision(reason=Reason.SCALE_IN, message="")),
        "Observing",
    ),
    "lost metrics in mode Observe": (
        some_facts(spec=some_spec(mode="Observe"), decision=Decision(reason=Reason.METRICS_MISSING, message="")),
        "Blocked",
    ),
    "a conflict": (some_facts(decision=Decision(reason=Reason.CONFLICT, message="")), "Conflict"),
    "rest after an operation": (some_facts(decision=Decision(reason=Reason.COOLDOWN, message="")), "Resting"),
    "no better place": (some_facts(decision=Decision(reason=Reason.NO_NEUTRAL_SWAP, message="")), "Skewed"),
    "moves that did not stay": (some_facts(decision=Decision(reason=Reason.MOVES_UNDONE, message="")), "Resting"),
    "what a person has to do": (
        some_facts(decision=Decision(reason=Reason.MANUAL_ACTION_REQUIRED, message="")),
        "Limited",
    ),
    "a hot node in mode Observe": (
        some_facts(spec=some_spec(mode="Observe"), decision=Decision(reason=Reason.HOT_NODE, message="")),
        "Observing",
    ),
    "lost metrics": (some_facts(decision=Decision(reason=Reason.METRICS_MISSING, message="")), "Blocked"),
}


@pytest.mark.parametrize(("facts", "phase"), PHASES.values(), ids=PHASES.keys())
def test_phase(facts: Facts, phase: str) -> None:
    assert build_status(MilvusTuningStatus(), facts, generation=1, now=NOW).phase == phase


LONG = "a long story " * 20
SCALE = Step(
    kind=StepKind.SCALE_QUERY_NODES,
    precondition={"desiredCount": 2},
    action={"count": 3},
    verification={},
    undo={"count": 2},
)


def a_plan(phase: Phase, *, verdict: Verdict | None = None) -> Plan:
    """A scale-out that is so far."""
    change = Change(
        policy_name="rag",
        policy_uid="uid-1",
        policy_generation=1,
        intent_digest="0" * 16,
        inputs_digest="1" * 16,
        target="Deployment milvus/rag-milvus-querynode",
        sequence=7,
        reason=Reason.SCALE_OUT_CAPACITY,
        message=LONG,
        steps=(SCALE,),
        risk=Risk.MEDIUM,
        risk_reasons=("adds 1 QueryNode",),
        prediction=Prediction(),
        proposed_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    begun = phase not in {Phase.PROPOSED, Phase.APPROVED}
    operation = replace(FINISHED, steps=(StepRecord(step=SCALE),)) if begun else None
    finished_at = NOW if phase is Phase.FINISHED else None
    course = Course(phase=phase, operation=operation, verdict=verdict, finished_at=finished_at)
    return Plan(name="rag-0123456789", change=change, course=course)


PLAN_PHASES = {
    Phase.PROPOSED: "AwaitingApproval",
    Phase.APPROVED: "AwaitingStart",
    Phase.RUNNING: "ScalingOut",
    Phase.VERIFYING: "Verifying",
    Phase.ROLLING_BACK: "RollingBack",
    Phase.FINISHED: "Steady",
}


@pytest.mark.parametrize("phase", Phase)
def test_an_open_plan_gives_the_phase(phase: Phase) -> None:
    facts = some_facts(plan=a_plan(phase))
    assert build_status(MilvusTuningStatus(), facts, generation=1, now=NOW).phase == PLAN_PHASES[phase]


def test_the_last_action_fits_a_column() -> None:
    finished = a_plan(Phase.FINISHED, verdict=Verdict.KEPT)
    running = build_status(MilvusTuningStatus(), some_facts(plan=a_plan(Phase.RUNNING)), generation=1, now=NOW)
    afterwards = build_status(running, some_facts(plan=finished, finished=(finished,)), generation=1, now=NOW)
    assert running.last_action == "ScaleQueryNodes 2 -> 3: Running"
    assert afterwards.last_action == "ScaleQueryNodes 2 -> 3: Kept"


MOVE = Step(
    kind=StepKind.MOVE_SEGMENTS,
    precondition={"segments": "7 8", "pod": "qn-1"},
    action={"segments": "7 8", "pod": "qn-2"},
    verification={},
    undo={"segments": "7 8", "pod": "qn-1"},
)
REPLICAS = Step(
    kind=StepKind.SET_REPLICA_NUMBER,
    precondition={"count": 1},
    action={"count": 2},
    verification={},
    undo={"count": 1},
)
LEVEL = Step(
    kind=StepKind.SET_COLLECTION_PROPERTY,
    precondition={"value": "Bounded"},
    action={"value": "Strong"},
    verification={},
    undo={},
)
LET_GO = Step(kind=StepKind.RETURN_PLACEMENT, precondition={}, action={"key": "k"}, verification={}, undo={})
PLACEMENTS = {
    "a swap": ((MOVE, MOVE, LET_GO), "MovingSegments", "MoveSegments 4: Running"),
    "a replica more": ((REPLICAS,), "ChangingReplicas", "SetReplicaNumber 1 -> 2: Running"),
    "a level": ((LEVEL,), "Configuring", "SetCollectionProperty Bounded -> Strong: Running"),
    "the balancer let go": ((LET_GO,), "Configuring", "ReturnPlacement k: Running"),
}


@pytest.mark.parametrize(("steps", "phase", "action"), PLACEMENTS.values(), ids=PLACEMENTS.keys())
def test_a_change_of_places_or_copies_is_named(steps: tuple[Step, ...], phase: str, action: str) -> None:
    plan = a_plan(Phase.RUNNING)
    operation = replace(FINISHED, steps=tuple(StepRecord(step=step) for step in steps))
    plan = replace(plan, change=replace(plan.change, steps=steps), course=replace(plan.course, operation=operation))
    status = build_status(MilvusTuningStatus(), some_facts(plan=plan), generation=1, now=NOW)
    assert (status.phase, status.last_action) == (phase, action)


def test_a_finished_plan_enters_the_history_once() -> None:
    finished, unbegun = a_plan(Phase.FINISHED, verdict=Verdict.KEPT), a_plan(Phase.PROPOSED)
    before = MilvusTuningStatus()
    new = missing_from_history(before, [finished, replace(unbegun, name="rag-9876543210")])
    after = build_status(before, some_facts(plan=finished, finished=new), generation=1, now=NOW)
    assert [entry.id for entry in after.history or []] == ["rag-0123456789"]
    assert missing_from_history(after, [finished]) == ()


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    later, end = NOW + timedelta(minutes=5), NOW + timedelta(minutes=9)
    first = build_status(MilvusTuningStatus(), some_facts(), generation=1, now=NOW)
    second = build_status(first, some_facts(), generation=2, now=later)
    broken = some_facts(snapshot=with_problem(ProblemKind.TARGET_NOT_FOUND))
    third = build_status(second, broken, generation=2, now=end)

    def times(status: MilvusTuningStatus) -> dict[str, str]:
        return {condition.type: condition.last_transition_time for condition in status.conditions or []}

    assert times(second) == times(first)
    assert (times(first)["Ready"], times(third)["Ready"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:09:00Z")
    assert {condition.observed_generation for condition in second.conditions or []} == {2}


def measured(percent: float) -> Facts:
    ratio = percent / 100
    return some_facts(signal=replace(some_facts().signal, computation_ratio=ratio, even_computation_ratio=ratio))


WRITES = {
    "noise within the same five percent": (measured(45), measured(46), 10, False),
    "a number a reader would notice": (measured(45), measured(61), 10, True),
    "another reason": (some_facts(), some_facts(decision=Decision(reason=Reason.COOLDOWN, message="")), 10, True),
    "nothing new, but the data time has become old": (measured(45), measured(45), 61, True),
}


@pytest.mark.parametrize(("before", "after", "seconds", "expected"), WRITES.values(), ids=WRITES.keys())
def test_the_object_is_written_when(before: Facts, after: Facts, seconds: int, expected: bool) -> None:
    later = NOW + timedelta(seconds=seconds)
    stored = build_status(MilvusTuningStatus(), before, generation=1, now=NOW)
    fresh = build_status(stored, after, generation=1, now=later)
    assert worth_writing(stored, fresh, now=later) is expected


STOPS = {
    "a spec that cannot be read": (Reason.INVALID_SPEC, "Invalid"),
    "a plan in unknown words": (Reason.UNKNOWN_OPERATION, "Blocked"),
}


@pytest.mark.parametrize(("reason", "word"), STOPS.values(), ids=STOPS.keys())
def test_a_stop_is_said_and_what_was_seen_before_stays(reason: Reason, word: str) -> None:
    before = build_status(MilvusTuningStatus(), some_facts(), generation=1, now=NOW)
    after = stopped_status(before, reason, "minCount must not be above maxCount", generation=2, now=NOW)
    ready = next(condition for condition in after.conditions or [] if condition.type == "Ready")
    assert (ready.status, ready.reason, after.phase) == (FALSE, reason, word)
    assert after.observed == before.observed
