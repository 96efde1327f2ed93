"""Who may leave, and every reason why nobody may."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide import decide
from milvus_tuning.decide.size.context import LOAD_GUARD_KEY
from milvus_tuning.decide.size.scale_in import estimated_drain_seconds
from milvus_tuning.plan import Decision, Reason, Step, StepKind
from milvus_tuning.snapshot import EtcdSetting, QueryNode, Replica, Snapshot
from tests.builders import NOON, a_history, a_node, a_snapshot, a_spec, some_nodes

LEADER = Replica(replica_id=1, collection_id=100, node_ids=(1, 2, 3), leaders=(("channel", 3),))


def decide_idle(snapshot: Snapshot, spec: MilvusTuningSpec | None = None) -> Decision:
    """Decide after an hour of this."""
    return decide(spec or a_spec(), snapshot, a_history(snapshot), NOON)


def idle(*nodes: QueryNode, **changes: Any) -> Snapshot:
    return replace(a_snapshot(nodes), replicas=(LEADER,), **changes)


def test_the_victim_is_marked_and_then_the_count_is_lowered() -> None:
    decision = decide_idle(a_snapshot(3, cpu=0.1, memory=0.25))

    assert (decision.reason, decision.desired_count) == (Reason.SCALE_IN, 2)
    assert decision.steps == (
        Step(
            kind=StepKind.DRAIN_QUERY_NODE,
            precondition={"pod": "qn-2", "podUid": "uid-of-qn-2", "gracePeriodSeconds": 1800},
            action={"pod": "qn-2", "deletionCost": -1000},
            verification={"pod": "qn-2", "deletionCost": -1000},
            undo={"pod": "qn-2", "deletionCost": None},
        ),
        Step(
            kind=StepKind.SCALE_QUERY_NODES,
            precondition={"desiredCount": 3},
            action={"count": 2},
            verification={
                "servingCount": 2,
                "deadlineSeconds": 1800,
                "pod": "qn-2",
                "podUid": "uid-of-qn-2",
                "leastRows": 118_800,
            },
            undo={"count": 3},
        ),
    )


@pytest.mark.parametrize(
    ("nodes", "victim"),
    [
        pytest.param(
            [("a", 1, {"loaded": 0.2}), ("b", 2, {"loaded": 0.1}), ("c", 3, {"loaded": 0.2})], "b", id="fewest bytes"
        ),
        pytest.param([("a", 1, {}), ("b", 2, {}), ("c", 3, {})], "a", id="no shard leader, then by name"),
        pytest.param(
            [("a", 1, {}), ("b", 2, {"created_at": NOON}), ("c", 3, {"created_at": NOON + timedelta(1)})],
            "b",
            id="the newest without a shard leader",
        ),
        pytest.param(
            [("a", 1, {"loaded": 0.2}), ("b", 2, {"loaded": 0.2}), ("c", 3, {"loaded": 0.05})],
            "c",
            id="a shard leader with far fewer bytes",
        ),
    ],
)
def test_the_victim_is(nodes: list[tuple[str, int, dict[str, Any]]], victim: str) -> None:
    members = [a_node(pod, node_id=node_id, **{"cpu": 0.1, "memory": 0.25, **each}) for pod, node_id, each in nodes]

    assert decide_idle(idle(*members)).inputs["victim"] == victim


def test_a_mark_undercuts_what_others_put_on_their_pods_and_gives_back_what_was_there() -> None:
    first, second, third = some_nodes(3, cpu=0.1, memory=0.25)
    nodes = (replace(first, deletion_cost=-50), replace(second, deletion_cost=7), third)

    mark = decide_idle(a_snapshot(nodes)).steps[0]

    assert (mark.action["deletionCost"], mark.undo["deletionCost"]) == (-1050, 7)


@pytest.mark.parametrize(
    ("snapshot", "spec", "reason"),
    [
        pytest.param(a_snapshot(2, cpu=0.1, memory=0.2), a_spec(), Reason.AT_MINIMUM, id="at minCount"),
        pytest.param(a_snapshot(3, cpu=0.38, memory=0.2), a_spec(), Reason.WOULD_OVERLOAD, id="57 % CPU afterwards"),
        pytest.param(a_snapshot(3, cpu=0.35, memory=0.2), a_spec(), Reason.WOULD_OVERLOAD, id="53 % CPU afterwards"),
        pytest.param(a_snapshot(3, cpu=0.1, memory=0.59), a_spec(), Reason.WOULD_OVERLOAD, id="84 % memory afterwards"),
        pytest.param(
            a_snapshot(3, cpu=0.1, memory=0.5),
            a_spec(load_balancing={"overloadedMemoryPercent": 50}),
            Reason.WOULD_NOT_FIT,
            id="70 % of memory under a load guard of 50 %",
        ),
        pytest.param(a_snapshot(3, cpu=0.1, memory=0.45), a_spec(), Reason.WOULD_NOT_FIT_WITH_NODE_LOST, id="N-1"),
        pytest.param(
            a_snapshot(3, cpu=0.1, memory=0.25, grace=30), a_spec(), Reason.GRACE_PERIOD_TOO_SHORT, id="30 s of grace"
        ),
        pytest.param(
            a_snapshot(3, cpu=0.1, memory=0.11, grace=60),
            a_spec(),
            Reason.GRACE_PERIOD_TOO_SHORT,
            id="60 s are no more",
        ),
        pytest.param(
            a_snapshot(4, cpu=0.1, memory=0.2, replicas=2), a_spec(), Reason.REPLICA_MULTIPLE, id="3 nodes, 2 replicas"
        ),
        pytest.param(
            replace(a_snapshot(3, cpu=0.1, memory=0.2, replicas=3), milvus_version="2.4.13"),
            a_spec(),
            Reason.REPLICA_NEEDS_NODES,
            id="every node is a replica",
        ),
    ],
)
def test_nobody_leaves_because(snapshot: Snapshot, spec: MilvusTuningSpec, reason: Reason) -> None:
    decision = decide_idle(snapshot, spec)

    assert (decision.reason, decision.steps) == (reason, ())
    assert decision.rejected[0].reason is reason


def test_two_nodes_may_become_one_where_the_user_allows_one() -> None:
    decision = decide_idle(a_snapshot(2, cpu=0.1, memory=0.3), a_spec(min_count=1))

    assert (decision.reason, decision.desired_count) == (Reason.SCALE_IN, 1)


def test_a_group_keeps_a_node_for_each_replica() -> None:
    replicas = tuple(
        Replica(replica_id=number, collection_id=100, node_ids=held, resource_group="fast")
        for number, held in enumerate([(1, 2), (2, 3)])
    )
    snapshot = replace(a_snapshot(3, cpu=0.1, memory=0.2), replicas=replicas, milvus_version="2.4.13")

    assert decide_idle(snapshot).desired_count == 2


def test_the_next_candidate_is_taken_where_the_first_may_not_leave() -> None:
    small, large = a_node("a", node_id=1, loaded=0.05), a_node("b", node_id=2, loaded=0.15)
    nodes = [replace(node, cpu_cores=small.cpu_cores) for node in (small, large, a_node("c", node_id=3, loaded=0.16))]
    lonely = Replica(replica_id=7, collection_id=100, node_ids=(1,))
    shared = Replica(replica_id=8, collection_id=200, node_ids=(1, 2, 3))
    members = tuple(a_node(node.pod, node_id=node.node_id, cpu=0.1, memory=0.25) for node in nodes)

    decision = decide_idle(replace(a_snapshot(members), replicas=(lonely, shared)))

    assert decision.inputs["victim"] == "b"
    assert decision.rejected[1].alternative == "ScaleIn 3 -> 2 by a"
    assert decision.rejected[1].reason is Reason.REPLICA_NEEDS_NODES


def test_nobody_leaves_while_the_placement_of_a_collection_is_unknown() -> None:
    decision = decide_idle(replace(a_snapshot(3, cpu=0.1, memory=0.25), placement_coverage=0.5))

    assert (decision.reason, decision.steps) == (Reason.METRICS_MISSING, ())
    assert "50 % of the collections" in decision.message


@pytest.mark.parametrize(
    ("stored", "reason"),
    [("35", Reason.WOULD_NOT_FIT), ("95", Reason.SCALE_IN), ("many", Reason.SCALE_IN)],
)
def test_a_lower_load_guard_that_is_stored_counts(stored: str, reason: Reason) -> None:
    setting = EtcdSetting(key=LOAD_GUARD_KEY, value=stored, spellings=(LOAD_GUARD_KEY,), revision=1)
    snapshot = replace(a_snapshot(3, cpu=0.1, memory=0.3), settings={LOAD_GUARD_KEY: setting})

    assert decide_idle(snapshot).reason is reason


def test_grace_message_says_what_to_set() -> None:
    decision = decide_idle(a_snapshot(3, cpu=0.1, memory=0.25, grace=30))

    assert "Set terminationGracePeriodSeconds of the QueryNode pods above 149 s" in decision.message


@pytest.mark.parametrize(
    ("moved_bytes", "expected_seconds"),
    [
        pytest.param(0, 60, id="an empty node still hands over"),
        pytest.param(400_000_000, 60, id="2 x 20 + 20 is the floor itself"),
        pytest.param(1_200_000_000, 140, id="1.2 GB"),
    ],
)
def test_estimated_drain(moved_bytes: int, expected_seconds: float) -> None:
    assert estimated_drain_seconds(moved_bytes, 20_000_000) == expected_seconds
