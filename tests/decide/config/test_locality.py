"""The zone that QueryNodes prefer: how what is declared stands on each kind of target, and the step that it needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.api import Mode, ZonePreference
from milvus_tuning.catalogue import SCHEDULING_FIELD, ZONE_PREFERENCE, zone_terms
from milvus_tuning.decide import decide
from milvus_tuning.decide.config.locality import zone_preference
from milvus_tuning.decide.config.settings import declares_settings, setting_steps
from milvus_tuning.decide.proposing.proposal import intent_digest, staleness
from milvus_tuning.decide.running.operation import begin, next_move
from milvus_tuning.plan import Decision, History, Operation, Plan, Reason, SettingState, Step, StepState, Verdict
from milvus_tuning.snapshot import (
    ComponentPod,
    Freeze,
    FreezeReason,
    Problem,
    ProblemKind,
    Scheduling,
    Snapshot,
    WorkloadKind,
)
from tests.builders import NOON, a_change, a_snapshot, some_nodes
from tests.decide.config.a_policy import a_policy
from tests.decide.steps import a_preference

NODES = {"minCount": 2, "maxCount": 6}
TARGET = {"kind": "Milvus", "name": "my-release"}
PREFERS = a_policy(targetRef=TARGET, mode="Auto", queryNodes={**NODES, "zonePreference": "WithProxies"})
SILENT = a_policy(targetRef=TARGET, mode="Auto", queryNodes=NODES)
OURS = Scheduling(preference="WithProxies", ours=True)
EMPTY = Scheduling()
ROLLING = Freeze(reason=FreezeReason.ROLLOUT, message="milvus-operator is rolling")
WITH = dict.fromkeys(("qn-1", "qn-2", "qn-3"), "WithProxies")


def a_cluster(
    scheduling: Scheduling | None = EMPTY,
    *,
    placed: dict[str, str] | None = None,
    zones: dict[str, str] | None = None,
    nodes: Any = 3,
    **changes: Any,
) -> Snapshot:
    """A Milvus object with three QueryNodes; placed is the preference of each pod, zones where each is."""
    workload = {"kind": WorkloadKind.MILVUS, "name": "my-release", **changes.pop("workload", {})}
    snapshot = a_snapshot(nodes, workload=workload, **changes)
    placed, zones = placed or {}, zones or {}
    pods = (
        ComponentPod(
            component="QueryNode",
            pod=node.pod,
            pod_uid=node.pod_uid,
            ready=node.ready,
            zone=zones.get(node.pod),
            zone_preference=placed.get(node.pod),
        )
        for node in snapshot.query_nodes
    )
    proxy = ComponentPod(component="Proxy", pod="proxy-1", pod_uid="p", zone=zones.get("proxy-1"))
    return replace(snapshot, scheduling=scheduling, components=(*pods, proxy))


@pytest.mark.parametrize(
    ("cluster", "state", "words"),
    [
        pytest.param(a_cluster(OURS, placed=WITH), SettingState.EFFECTIVE, "each ready QueryNode", id="all placed"),
        pytest.param(
            a_cluster(OURS, placed={"qn-1": "WithProxies"}),
            SettingState.PENDING_RESTART,
            "qn-2, qn-3 placed without it",
            id="some are older",
        ),
        pytest.param(
            a_cluster(Scheduling(preference="WithProxies"), placed=WITH),
            SettingState.EFFECTIVE,
            "each ready QueryNode",
            id="the user wrote the same",
        ),
        pytest.param(
            a_cluster(Scheduling(others=("spec.components.affinity would go",))),
            SettingState.REFUSED,
            "nothing is written: spec.components.affinity would go. To have it add to spec.components.queryNode",
            id="an affinity of somebody else",
        ),
        pytest.param(
            a_cluster(Scheduling(preference="WithQueryNodes")),
            SettingState.REFUSED,
            "is WithQueryNodes, and not set by this operator",
            id="another preference of somebody else",
        ),
        pytest.param(
            a_cluster(workload={"autoscalers": ("HorizontalPodAutoscaler/hpa",)}),
            SettingState.NOT_APPLIED,
            "HorizontalPodAutoscaler/hpa scales the QueryNodes",
            id="an autoscaler",
        ),
        pytest.param(
            a_cluster(Scheduling(all_at_once=True)), SettingState.NOT_APPLIED, "all QueryNodes at once", id="by force"
        ),
        pytest.param(
            a_cluster(grace=30), SettingState.PENDING_RESTART, "GracePeriodTooShort", id="a drain that would be cut"
        ),
        pytest.param(a_cluster(replicas=3), SettingState.PENDING_RESTART, "one QueryNode only", id="a replica of one"),
        pytest.param(a_cluster(nodes=2, memory=0.6), SettingState.PENDING_RESTART, "scale out first", id="no room"),
        pytest.param(
            replace(
                a_cluster(None),
                workload=None,
                problems=(Problem(kind=ProblemKind.TARGET_UNSUPPORTED, message="groups"),),
            ),
            SettingState.NOT_APPLIED,
            "the target was not read: groups",
            id="groups",
        ),
    ],
)
def test_nothing_is_written_while(cluster: Snapshot, state: SettingState, words: str) -> None:
    steps, [status] = zone_preference(PREFERS, cluster)

    assert (steps, status.state, status.intent) == ((), state, ZONE_PREFERENCE)
    assert words in status.message


@pytest.mark.parametrize(
    ("spec", "scheduling", "before", "after"),
    [
        pytest.param(PREFERS, EMPTY, None, "WithProxies", id="declared"),
        pytest.param(
            PREFERS, Scheduling(preference="WithQueryNodes", ours=True), "WithQueryNodes", "WithProxies", id="changed"
        ),
        pytest.param(SILENT, OURS, "WithProxies", None, id="no longer declared"),
        pytest.param(
            PREFERS,
            Scheduling(preference="WithQueryNodes", ours=True, others=("a spread",)),
            "WithQueryNodes",
            "WithProxies",
            id="changed beside what came later",
        ),
    ],
)
def test_the_one_step(spec: Any, scheduling: Scheduling, before: str | None, after: str | None) -> None:
    steps, [status] = zone_preference(spec, a_cluster(scheduling))

    assert steps == (a_preference(before, after, deadline=3 * (300 + 364)),)
    assert (status.state, status.component) == (SettingState.PENDING_RESTART, "QueryNode")
    assert "milvus-operator replaces all QueryNodes" in status.message


@pytest.mark.parametrize("scheduling", [EMPTY, Scheduling(preference="WithProxies"), None])
def test_undeclared_is_unmanaged(scheduling: Scheduling | None) -> None:
    assert zone_preference(SILENT, a_cluster(scheduling)) == ((), ())
    assert not declares_settings(SILENT)
    assert declares_settings(PREFERS)


def test_a_chart_gets_the_values_as_advice() -> None:
    spec = a_policy(queryNodes={**NODES, "zonePreference": "WithQueryNodes"})

    steps, [status] = zone_preference(spec, a_snapshot(3))

    assert (steps, status.state, status.key) == ((), SettingState.UNSUPPORTED, None)
    assert '{"queryNode": {"affinity": {"podAffinity": {"preferredDuringScheduling' in status.message
    assert '"app.kubernetes.io/name": "milvus", "component": "querynode"}' in status.message


@pytest.mark.parametrize("preference", list(ZonePreference))
def test_what_to_add_by_hand_are_the_terms_themselves(preference: ZonePreference) -> None:
    spec = a_policy(targetRef=TARGET, queryNodes={**NODES, "zonePreference": str(preference)})

    _, [status] = zone_preference(spec, a_cluster(Scheduling(others=("x",))))

    [term] = zone_terms(str(preference), "my-release")
    assert f'"app.kubernetes.io/component": "{"proxy" if "Proxies" in preference else "querynode"}"' in status.message
    assert term["weight"] == 100


@pytest.mark.parametrize(
    ("zones", "effective", "all_in_one"),
    [
        pytest.param({}, "WithProxies on 3 of 3", False, id="nobody tells the zones"),
        pytest.param({"qn-1": "a", "qn-2": "a", "qn-3": "b"}, "WithProxies on 3 of 3", False, id="not the proxy's"),
        pytest.param(
            {"qn-1": "a", "qn-2": "a", "qn-3": "b", "proxy-1": "a"},
            "WithProxies on 3 of 3; 2 of 3 in a preferred zone",
            False,
            id="two of three",
        ),
        pytest.param(
            dict.fromkeys(("qn-1", "qn-2", "qn-3", "proxy-1"), "a"),
            "WithProxies on 3 of 3; 3 of 3 in a preferred zone",
            True,
            id="all in one",
        ),
    ],
)
def test_where_they_are(zones: dict[str, str], effective: str, all_in_one: bool) -> None:
    _, [status] = zone_preference(PREFERS, a_cluster(OURS, placed=WITH, zones=zones))

    assert (status.effective, status.source, status.key) == (effective, "Milvus milvus/my-release", SCHEDULING_FIELD)
    assert ("no in-memory replica survives" in status.message) is all_in_one


def test_it_comes_after_the_keys_and_without_etcd() -> None:
    spec = a_policy(
        targetRef=TARGET,
        mode="Auto",
        queryNodes={**NODES, "zonePreference": "WithProxies"},
        loadBalancing={"balanceTolerancePercent": 10},
    )
    readable = replace(a_cluster(), settings_readable=True, etcd_root_path="by-dev")

    first, _ = setting_steps(spec, readable, NOON, "u")
    alone, _ = setting_steps(spec, a_cluster(), NOON, "u")

    assert [step.kind for step in first] == ["SetConfig"]
    assert [step.kind for step in alone] == ["SetScheduling"]


@pytest.mark.parametrize(
    ("spec", "why"), [(PREFERS.model_copy(update={"mode": Mode.OBSERVE}), "mode is Observe"), (PREFERS, "read-only")]
)
def test_what_may_not_be_written_now_says_why(spec: Any, why: str) -> None:
    steps, statuses = setting_steps(spec, a_cluster(), NOON, "u", read_only=why == "read-only")

    [status] = [one for one in statuses if one.intent == ZONE_PREFERENCE]
    assert (steps, status.state) == ((), SettingState.NOT_APPLIED)
    assert why in status.message


def test_what_was_rolled_back_is_not_tried_again_at_once() -> None:
    steps, _ = zone_preference(PREFERS, a_cluster())
    operation = begin(Decision(reason=Reason.SETTING_CHANGED, message="", steps=steps), operation_id="o", now=NOON)
    rollback = replace(operation, verdict=Verdict.ROLLED_BACK, verdict_message="slower")

    again, [status] = zone_preference(PREFERS, a_cluster(), rollbacks=[rollback])

    assert (again, status.state) == ((), SettingState.NOT_APPLIED)
    assert "slower" in status.message


def test_it_is_decided_on_and_a_roll_of_somebody_else_stops_it() -> None:
    decision = decide(PREFERS, a_cluster(cpu=0.45), History(), NOON)
    frozen = decide(PREFERS, a_cluster(cpu=0.45, freezes=(ROLLING,)), History(), NOON)

    assert [step.kind for step in decision.steps] == ["SetScheduling"]
    assert decision.message == f"{SCHEDULING_FIELD} absent -> WithProxies"
    assert (frozen.steps, frozen.reason) == ((), Reason.FROZEN)


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        pytest.param(a_cluster(), None, id="as it was"),
        pytest.param(a_cluster(OURS), "somebody did it already", id="done"),
        pytest.param(a_cluster(Scheduling(others=("nodeAffinity of argocd",))), "nodeAffinity of argocd", id="foreign"),
        pytest.param(a_cluster(grace=30), "call for no write any more", id="the checks do not hold any more"),
    ],
)
def test_a_plan_that_waits(cluster: Snapshot, words: str | None) -> None:
    steps, _ = zone_preference(PREFERS, a_cluster())
    quiet = Decision(reason=Reason.STEADY, message="nothing")
    plan = Plan(name="p", change=a_change(steps=steps, intent_digest=intent_digest(PREFERS)))

    found = staleness(plan, PREFERS, cluster, quiet)

    assert (found is None) if words is None else (words in str(found))


# -- the course of the step --------------------------------------------------------------------------------------------


def at(operation: Operation, state: StepState) -> Operation:
    return replace(operation, steps=(replace(operation.steps[0], state=state, intended_at=NOON),))


def begun(step: Step) -> Operation:
    return begin(Decision(reason=Reason.SETTING_CHANGED, message="", steps=(step,)), operation_id="o", now=NOON)


def later(cluster: Snapshot, seconds: int) -> Snapshot:
    return replace(cluster, taken_at=NOON + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param(a_cluster(OURS), id="milvus-operator has not seen it yet"),
        pytest.param(a_cluster(OURS, placed=WITH, freezes=(ROLLING,)), id="it still rolls"),
        pytest.param(a_cluster(OURS, placed={"qn-1": "WithProxies"}), id="some are older"),
        pytest.param(
            a_cluster(OURS, placed=WITH, nodes=(*some_nodes(2), *some_nodes(3, ready=False)[2:])), id="one is not ready"
        ),
        pytest.param(a_cluster(OURS, placed=WITH, workload={"desired_count": 2}), id="one too many"),
        pytest.param(a_cluster(OURS, placed=WITH, placement_coverage=0.5), id="the placement is not known"),
    ],
)
def test_the_roll_is_waited_for_until_the_deadline_and_then_taken_back(cluster: Snapshot) -> None:
    waiting = at(begun(a_preference()), StepState.APPLIED)

    in_time = next_move(waiting, later(cluster, 899), PREFERS, later(cluster, 899).taken_at)
    late = next_move(waiting, later(cluster, 901), PREFERS, later(cluster, 901).taken_at)

    assert (in_time.operation, in_time.call) == (waiting, None)
    assert (late.operation.steps[0].state, late.call is not None and late.call.undo) == (StepState.UNDOING, True)


def test_it_is_done_when_all_were_placed_with_it_and_serve() -> None:
    cluster = later(a_cluster(OURS, placed=WITH), 600)

    move = next_move(at(begun(a_preference()), StepState.APPLIED), cluster, PREFERS, cluster.taken_at)

    assert (move.operation.outcome, move.call) == (Reason.COMPLETED, None)


@pytest.mark.parametrize(
    ("cluster", "state", "called"),
    [
        pytest.param(a_cluster(), StepState.INTENDED, True, id="begins"),
        pytest.param(a_cluster(freezes=(ROLLING,)), StepState.SKIPPED, False, id="somebody else rolls"),
        pytest.param(a_cluster(Scheduling(others=("x",))), StepState.SKIPPED, False, id="somebody else wrote"),
        pytest.param(a_cluster(None), StepState.PENDING, False, id="cannot be read"),
        pytest.param(a_cluster(Scheduling(all_at_once=True)), StepState.SKIPPED, False, id="all at once"),
    ],
)
def test_how_it_begins(cluster: Snapshot, state: StepState, called: bool) -> None:
    move = next_move(begun(a_preference()), cluster, PREFERS, NOON)

    assert (move.operation.steps[0].state, move.call is not None) == (state, called)


@pytest.mark.parametrize(
    ("scheduling", "state"),
    [
        pytest.param(Scheduling(preference="WithQueryNodes"), StepState.SKIPPED, id="another preference"),
        pytest.param(Scheduling(others=("x",)), StepState.SKIPPED, id="another affinity"),
        pytest.param(EMPTY, StepState.SKIPPED, id="taken away"),
    ],
)
def test_what_somebody_else_makes_of_it_stays(scheduling: Scheduling, state: StepState) -> None:
    cluster = later(a_cluster(scheduling), 60)

    move = next_move(at(begun(a_preference()), StepState.APPLIED), cluster, PREFERS, cluster.taken_at)

    assert (move.operation.steps[0].state, move.call) == (state, None)
    assert move.operation.outcome is Reason.PRECONDITION_CHANGED


def test_taken_back_it_is_over_once_the_field_is_as_before() -> None:
    undoing = at(begun(a_preference()), StepState.UNDOING)
    there, gone = (later(a_cluster(one, freezes=(ROLLING,)), 60) for one in (OURS, EMPTY))

    assert next_move(undoing, there, PREFERS, there.taken_at).call is not None
    assert next_move(undoing, gone, PREFERS, gone.taken_at).operation.outcome is Reason.UNDONE
