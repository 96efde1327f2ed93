"""How many in-memory replicas: when one more, and what is in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.decide.replicas.number import before_size, decide_replicas
from milvus_tuning.plan import Decision, Operation, Outlook, Reason, Rejection, Step, StepKind
from milvus_tuning.snapshot import (
    Freeze,
    FreezeReason,
    Problem,
    ProblemKind,
    ResourceGroup,
    Traffic,
    WorkloadKind,
)
from tests.builders import NOON, a_finished_operation, a_history, a_node
from tests.decide.replicas.replica_cases import GROUP, a_cluster, a_heat, a_policy, counts, decide_lasting

NOTHING_BETTER = Rejection(alternative="Rebalance", reason=Reason.NO_BETTER_PLACEMENT, message="none is better")


def test_what_is_not_declared_is_not_decided() -> None:
    snapshot = a_cluster()
    spec = a_policy().model_copy(update={"in_memory_replicas": None})
    assert decide_replicas(spec, snapshot, a_heat(snapshot), a_history(snapshot), NOON) is None


# -- up ---------------------------------------------------------------------------------------------------------------


def test_the_hottest_collection_gets_a_replica_more() -> None:
    decision = decide_lasting(a_cluster(), lasting_seconds=300)

    assert decision.reason is Reason.HOT_COLLECTION
    assert decision.steps == (
        Step(
            kind=StepKind.SET_REPLICA_NUMBER,
            precondition={"database": "default", "collection": "products", "count": 1},
            action={"database": "default", "collection": "products", "count": 2, "resourceGroups": GROUP},
            verification={"database": "default", "collection": "products", "count": 2, "deadlineSeconds": 1800},
            undo={"database": "default", "collection": "products", "count": 1, "resourceGroups": GROUP},
        ),
    )
    assert decision.message == (
        "even computation 75 % has been above 60 % for 300 s (window 300 s): default.products 1 -> 2 in-memory "
        "replicas; expected of the busiest QueryNode: 75 % -> 50 %; it takes 2.4 GiB of memory"
    )
    assert decision.outlook == Outlook(
        moved_segments=6,
        moved_rows=60_000,
        moved_bytes=round(2.4 * 2**30),
        busiest_percent_before=75,
        busiest_percent_after=50,
        heat_share_percent=80,
    )


@pytest.mark.parametrize(
    ("cpu", "lasting", "reason"),
    [
        pytest.param(0.75, 300, Reason.HOT_COLLECTION, id="above for its window"),
        pytest.param(0.75, 285, Reason.STABILIZING, id="not yet for its window"),
        pytest.param(0.60, 3600, Reason.STEADY, id="at the threshold is not above it"),
        pytest.param(0.40, 3600, Reason.STEADY, id="between the thresholds"),
    ],
)
def test_computation_must_stay_above_for_the_window(cpu: float, lasting: float, reason: Reason) -> None:
    assert decide_lasting(a_cluster(cpu=cpu), lasting_seconds=lasting).reason is reason


@pytest.mark.parametrize(
    ("rebalance", "reason"),
    [
        pytest.param(None, Reason.SKEW_NOT_CAPACITY, id="nobody looked for a better placement"),
        pytest.param(Outlook(moved_segments=4), Reason.SKEW_NOT_CAPACITY, id="there is a better placement"),
        pytest.param(NOTHING_BETTER, Reason.HOT_COLLECTION, id="there is none"),
    ],
)
def test_skew_comes_first_while_a_better_placement_may_help(
    rebalance: Outlook | Rejection | None, reason: Reason
) -> None:
    nodes = [a_node(f"qn-{n}", node_id=n, cpu=cpu, memory=0.3) for n, cpu in enumerate((0.95, 0.6, 0.6), start=1)]
    assert decide_lasting(a_cluster(nodes), rebalance=rebalance).reason is reason


@pytest.mark.parametrize(
    ("share", "bounds", "expected"),
    [
        pytest.param(0.8, {}, ("products", 1, 2), id="the hottest"),
        pytest.param(0.3, {}, ("archive", 1, 2), id="the hottest is the other one"),
        pytest.param(
            0.7, {"name": "products", "maxCount": 1}, ("archive", 1, 2), id="the next, where it is at its max"
        ),
        pytest.param(0.81, {"name": "products", "maxCount": 1}, None, id="but not one with less than a fifth"),
    ],
)
def test_only_what_makes_a_fifth_of_the_heat_and_is_below_its_maximum_grows(
    share: float, bounds: Mapping[str, Any], expected: tuple[str, int, int] | None
) -> None:
    snapshot = a_cluster()
    spec = a_policy(replicas={"collections": [bounds]} if bounds else {})
    decision = decide_lasting(snapshot, spec, a_heat(snapshot, share=share))
    assert counts(decision) == expected
    if expected is None:
        assert (decision.reason, decision.limited) == (Reason.AT_MAXIMUM, Reason.AT_MAXIMUM)


def test_where_heat_is_spread_over_many_no_replica_is_paid_for() -> None:
    snapshot = a_cluster()
    heat = a_heat(snapshot)
    even = replace(heat, collections=tuple(replace(one, share_ratio=0.1) for one in heat.collections))
    decision = decide_lasting(snapshot, heat=even)
    assert (decision.reason, decision.steps) == (Reason.STEADY, ())
    assert "no collection makes a fifth of the heat" in decision.message


@pytest.mark.parametrize(
    ("nodes", "cluster", "reason"),
    [
        pytest.param(None, {}, Reason.HOT_COLLECTION, id="nodes are not ours to add"),
        pytest.param({"max_count": 3}, {}, Reason.HOT_COLLECTION, id="at the maximum of the nodes"),
        pytest.param({"max_count": 4}, {}, Reason.REPLICA_NEEDS_NODES, id="another node may come"),
        pytest.param({"max_count": 9}, {"nodes": 6}, Reason.HOT_COLLECTION, id="another node would get no segment"),
        pytest.param({"max_count": 9}, {"nodes": 5}, Reason.REPLICA_NEEDS_NODES, id="it would get one"),
    ],
)
def test_nodes_come_before_replicas(nodes: dict[str, Any] | None, cluster: dict[str, Any], reason: Reason) -> None:
    assert decide_lasting(a_cluster(**cluster), a_policy(nodes=nodes)).reason is reason


@pytest.mark.parametrize(
    ("nodes", "copies", "groups", "reason"),
    [
        pytest.param(2, 1, (), Reason.HOT_COLLECTION, id="a node for each replica"),
        pytest.param(1, 1, (), Reason.REPLICA_NEEDS_NODES, id="one node"),
        pytest.param(2, 2, (), Reason.REPLICA_NEEDS_NODES, id="as many replicas as nodes"),
        pytest.param(3, 1, ((1, 2), (3,)), Reason.HOT_COLLECTION, id="a group of two"),
        pytest.param(3, 1, ((1,), (2, 3)), Reason.REPLICA_NEEDS_NODES, id="the other nodes are of another group"),
    ],
)
def test_a_resource_group_needs_a_node_for_each_replica(
    nodes: int, copies: int, groups: tuple[tuple[int, ...], ...], reason: Reason
) -> None:
    listed = tuple(ResourceGroup(name=name, node_ids=ids) for name, ids in zip((GROUP, "other"), groups, strict=False))
    decision = decide_lasting(a_cluster(nodes, copies={100: copies}, resource_groups=listed))
    assert decision.reason is reason


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("2.3.5", Reason.MANUAL_ACTION_REQUIRED),
        ("2.4.12", Reason.MANUAL_ACTION_REQUIRED),
        ("2.4.13", Reason.HOT_COLLECTION),
        ("2.6.4", Reason.HOT_COLLECTION),
    ],
)
def test_a_loaded_collection_is_changed_from_2_4_13_on(version: str, reason: Reason) -> None:
    decision = decide_lasting(a_cluster(version=version))
    assert (decision.reason, bool(decision.steps)) == (reason, reason is Reason.HOT_COLLECTION)
    assert ("also wants 2 streaming nodes" in decision.message) is (version == "2.6.4")


def test_before_that_a_person_gets_the_commands_and_the_warning() -> None:
    decision = decide_lasting(a_cluster(version="2.3.5"))
    assert 'client = MilvusClient(uri, db_name="default"); client.release_collection("products"); ' in decision.message
    assert 'client.load_collection("products", replica_number=2)' in decision.message
    assert "CANNOT BE SEARCHED" in decision.message
    assert "more QueryNodes, in multiples of 1" in decision.message


def test_the_commands_name_a_resource_group_that_is_not_the_default() -> None:
    cluster = a_cluster(version="2.3.5", groups={0: "fast"})
    assert '_resource_groups=["fast"])' in decide_lasting(cluster).message


def test_replicas_in_several_groups_are_a_persons_to_place() -> None:
    cluster = a_cluster(4, copies={100: 2}, groups={0: "a", 1: "b"})
    decision = decide_lasting(cluster)
    assert (decision.reason, decision.steps) == (Reason.MANUAL_ACTION_REQUIRED, ())
    assert "resource groups a, b" in decision.message


def test_what_was_measured_of_earlier_replicas_is_predicted() -> None:
    operation = replica_operation(gain_percent=200)
    decision = decide_lasting(a_cluster(), operations=[operation] * 100)
    assert decision.outlook is not None
    assert (decision.outlook.busiest_percent_before, decision.outlook.busiest_percent_after) == (75, 45)


def replica_operation(**changes: Any) -> Operation:
    operation = a_finished_operation(kind=StepKind.SET_REPLICA_NUMBER)
    step = replace(operation.steps[0].step, precondition={"count": 1}, action={"count": 2})
    return replace(operation, steps=(replace(operation.steps[0], step=step),), **changes)


# -- gates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            {"freezes": (Freeze(reason=FreezeReason.LOADING, message="products"),)}, Reason.FROZEN, id="loading"
        ),
        pytest.param(
            {"problems": (Problem(kind=ProblemKind.MILVUS_UNREACHABLE, message="no answer"),)},
            Reason.MILVUS_UNREACHABLE,
            id="no Milvus",
        ),
        pytest.param(
            {"problems": (Problem(kind=ProblemKind.PROMETHEUS_UNREACHABLE, message="no answer"),)},
            Reason.METRICS_MISSING,
            id="no Prometheus",
        ),
        pytest.param({"milvus_version": "master-1"}, Reason.VERSION_UNSUPPORTED, id="no version"),
        pytest.param({"placement_coverage": 0.5}, Reason.METRICS_MISSING, id="half of the placement"),
        pytest.param({"workload": None}, Reason.TARGET_NOT_FOUND, id="no target"),
    ],
)
def test_what_is_in_the_way_is_the_answer(changes: dict[str, Any], reason: Reason) -> None:
    decision = decide_lasting(replace(a_cluster(), **changes))
    assert (decision.reason, decision.steps) == (reason, ())


def test_a_node_whose_identity_is_unknown_stops_it() -> None:
    nodes = [a_node("qn-1", node_id=1), a_node("qn-2", node_id=2), a_node("qn-3", node_id=None)]
    assert decide_lasting(a_cluster(nodes)).reason is Reason.NODE_IDENTITY_UNKNOWN


def test_a_cluster_between_two_sizes_is_left_alone() -> None:
    snapshot = a_cluster()
    assert snapshot.workload is not None
    growing = replace(snapshot, workload=replace(snapshot.workload, desired_count=4))
    assert decide_lasting(growing).reason is Reason.FROZEN


def test_who_scales_the_nodes_does_not_matter_to_replicas() -> None:
    snapshot = a_cluster()
    assert snapshot.workload is not None
    scaled = replace(snapshot.workload, autoscalers=("HorizontalPodAutoscaler/qn",), kind=WorkloadKind.DEPLOYMENT)
    assert decide_lasting(replace(snapshot, workload=scaled)).reason is Reason.HOT_COLLECTION


@pytest.mark.parametrize(
    ("changes", "cpu", "reason"),
    [
        pytest.param({"gaps": ("products: no rate",)}, 0.75, Reason.HEAT_UNKNOWN, id="a gap"),
        pytest.param({"at": NOON - timedelta(minutes=5)}, 0.75, Reason.HEAT_UNKNOWN, id="old"),
        pytest.param({"error_ratio": 0.6}, 0.75, Reason.HEAT_UNKNOWN, id="a model that does not fit"),
        pytest.param({"error_ratio": 0.6}, 0.40, Reason.STEADY, id="a model that does not fit where none is asked"),
        pytest.param({"error_ratio": None}, 0.75, Reason.HOT_COLLECTION, id="a fit that cannot be told"),
    ],
)
def test_unknown_heat_decides_nothing(changes: dict[str, Any], cpu: float, reason: Reason) -> None:
    snapshot = a_cluster(cpu=cpu)
    assert decide_lasting(snapshot, heat=a_heat(snapshot, **changes)).reason is reason


@pytest.mark.parametrize(
    ("kind", "ago", "reason"),
    [
        (StepKind.SET_REPLICA_NUMBER, 599, Reason.COOLDOWN),
        (StepKind.SCALE_QUERY_NODES, 599, Reason.COOLDOWN),
        (StepKind.MOVE_SEGMENTS, 599, Reason.COOLDOWN),
        (StepKind.SET_REPLICA_NUMBER, 600, Reason.HOT_COLLECTION),
    ],
)
def test_a_rest_follows_each_change(kind: StepKind, ago: float, reason: Reason) -> None:
    operation = a_finished_operation(kind=kind, ended_seconds_ago=ago)
    assert decide_lasting(a_cluster(), operations=[operation]).reason is reason


# -- beside the other rules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "size", "first"),
    [
        pytest.param(Reason.COLD_COLLECTION, Reason.SCALE_IN, True, id="down: replicas first"),
        pytest.param(Reason.ABOVE_MAXIMUM, Reason.SCALE_IN, True, id="down to the maximum too"),
        pytest.param(Reason.HOT_COLLECTION, Reason.SCALE_OUT_COMPUTATION, False, id="up: nodes first"),
        pytest.param(Reason.COLD_COLLECTION, Reason.SCALE_OUT_CAPACITY, False, id="nodes that are needed do not wait"),
        pytest.param(Reason.HOT_COLLECTION, None, True, id="nothing to do about nodes"),
        pytest.param(None, Reason.SCALE_IN, False, id="nothing to do about replicas"),
    ],
)
def test_down_replicas_go_before_nodes_and_up_after(replicas: Reason | None, size: Reason | None, first: bool) -> None:
    assert before_size(a_decision(replicas), a_decision(size)) is first


def a_decision(reason: Reason | None) -> Decision:
    step = Step(kind=StepKind.SET_REPLICA_NUMBER, precondition={}, action={}, verification={}, undo={})
    return Decision(reason=reason or Reason.STEADY, message="", steps=(step,) if reason else ())


def test_traffic_alone_says_nothing() -> None:
    snapshot = a_cluster(cpu=0.4)
    assert decide_lasting(replace(snapshot, traffic=Traffic())).reason is Reason.STEADY
