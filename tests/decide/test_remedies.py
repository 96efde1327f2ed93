"""Three ways to relieve the busiest QueryNode: what each is expected to do, and why the others are not taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.heat.model import HeatMap
from milvus_tuning.decide.remedies import Remedy, RemedyKind, as_rejections, rebalance_of, remedies
from milvus_tuning.plan import Decision, Outlook, Reason, Rejection, Step, StepKind
from milvus_tuning.snapshot import Snapshot
from tests.builders import NOON, a_node
from tests.decide.replicas.replica_cases import a_cluster, a_heat, a_policy

MOVES = Outlook(moved_segments=4, moved_bytes=2**30, busiest_percent_before=92, busiest_percent_after=78)
NO_MOVES = Rejection(alternative="Rebalance", reason=Reason.NO_NEUTRAL_SWAP, message="no row-neutral swap helps")


def the_three(
    snapshot: Snapshot | None = None,
    spec: MilvusTuningSpec | None = None,
    *,
    rebalance: Outlook | Rejection | None = MOVES,
    heat: HeatMap | None = None,
) -> dict[RemedyKind, Remedy]:
    """The three ways by kind, for two nodes whose busiest is at 92 % unless the test says otherwise."""
    seen = snapshot or two_nodes()
    found = remedies(spec or a_policy(), seen, heat or a_heat(seen, share=0.9), NOON, rebalance=rebalance)
    assert [one.kind for one in found] == list(RemedyKind)
    return {one.kind: one for one in found}


def two_nodes(**changes: Any) -> Snapshot:
    nodes = [a_node(f"qn-{n}", node_id=n, cpu=cpu, memory=0.3) for n, cpu in enumerate((0.92, 0.58), start=1)]
    return a_cluster(nodes, **changes)


# -- effects ----------------------------------------------------------------------------------------------------------


def test_the_effects_of_the_example() -> None:
    found = the_three(spec=a_policy())
    shown = {
        kind: (one.description, one.busiest_percent_before, one.busiest_percent_after) for kind, one in found.items()
    }
    assert shown == {
        RemedyKind.REBALANCE: ("4 moves", 92, 78),
        RemedyKind.REPLICA: ("SetReplicaNumber default.products 1 -> 2", 92, 58),
        RemedyKind.QUERY_NODE: ("ScaleOut 2 -> 3", 92, 61),
    }


def test_the_costs_are_told() -> None:
    found = the_three(spec=a_policy(nodes={"max_count": 2}))
    assert [one.cost for one in found.values()] == ["1.0 GiB moved", "1.6 GiB of memory", "a pod of 2 CPU, 8.0 GiB"]


@pytest.mark.parametrize(
    ("cores", "after"),
    [
        pytest.param(0.5, 61, id="no segment is so hot"),
        pytest.param(1.6, 80, id="one segment alone takes 80 %"),
        pytest.param(3.0, 92, id="a heat above the limit leaves it where it is"),
    ],
)
def test_a_node_more_does_not_split_a_segment(cores: float, after: int) -> None:
    snapshot = two_nodes()
    heat = a_heat(snapshot)
    hot = replace(heat, segments=(replace(heat.segments[0], cores=cores), *heat.segments[1:]))
    assert the_three(snapshot, heat=hot)[RemedyKind.QUERY_NODE].busiest_percent_after == after


def test_a_gain_that_was_measured_is_predicted() -> None:
    snapshot = two_nodes()
    heat = a_heat(snapshot, share=0.9)
    found = remedies(a_policy(), snapshot, heat, NOON, gain_of_second=2.0)
    assert found[1].busiest_percent_after == 51


# -- what is possible -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rebalance", "reason"),
    [
        pytest.param(NO_MOVES, Reason.NO_NEUTRAL_SWAP, id="none helps"),
        pytest.param(None, Reason.NO_BETTER_PLACEMENT, id="nobody looked"),
    ],
)
def test_without_moves_rebalancing_is_not_possible(rebalance: Rejection | None, reason: Reason) -> None:
    found = the_three(rebalance=rebalance)[RemedyKind.REBALANCE]
    assert (found.possible, found.reason, found.helps) == (False, reason, False)


@pytest.mark.parametrize(
    ("nodes", "cluster", "replica", "node"),
    [
        pytest.param(None, {}, None, Reason.NOT_MANAGED, id="nodes are not managed"),
        pytest.param({"max_count": 2}, {}, None, Reason.AT_MAXIMUM, id="nodes at their maximum"),
        pytest.param({"max_count": 3}, {}, Reason.REPLICA_NEEDS_NODES, None, id="nodes first"),
        pytest.param(
            {"max_count": 3},
            {"version": "2.3.5"},
            Reason.REPLICA_NEEDS_NODES,
            None,
            id="nodes, where replicas are fixed",
        ),
        pytest.param(
            {"max_count": 2},
            {"version": "2.3.5"},
            Reason.MANUAL_ACTION_REQUIRED,
            Reason.AT_MAXIMUM,
            id="a person's turn",
        ),
        pytest.param(
            {"max_count": 3},
            {"version": "2.3.5", "copies": {100: 2}},
            Reason.REPLICA_NEEDS_NODES,
            Reason.AT_MAXIMUM,
            id="a multiple of the replicas is above the maximum",
        ),
    ],
)
def test_replica_or_node_is_possible_never_both(
    nodes: dict[str, Any] | None, cluster: dict[str, Any], replica: Reason | None, node: Reason | None
) -> None:
    found = the_three(two_nodes(**cluster), a_policy(nodes=nodes))
    against = [
        None if found[kind].possible else found[kind].reason for kind in (RemedyKind.REPLICA, RemedyKind.QUERY_NODE)
    ]
    assert against == [replica, node]


def test_replicas_that_are_not_declared_are_not_possible() -> None:
    spec = a_policy(nodes={}).model_copy(update={"in_memory_replicas": None})
    found = the_three(spec=spec)[RemedyKind.REPLICA]
    assert (found.possible, found.reason, found.why_not) == (
        False,
        Reason.NOT_MANAGED,
        "inMemoryReplicas is not declared",
    )


def test_what_writes_the_number_of_nodes_is_in_the_way_of_nodes() -> None:
    snapshot = two_nodes()
    assert snapshot.workload is not None
    scaled = replace(snapshot, workload=replace(snapshot.workload, autoscalers=("HorizontalPodAutoscaler/qn",)))
    found = the_three(scaled, a_policy(nodes={}))[RemedyKind.QUERY_NODE]
    assert (found.possible, found.reason) == (False, Reason.CONFLICT)


def test_unknown_heat_offers_no_replica() -> None:
    snapshot = two_nodes()
    found = the_three(snapshot, heat=a_heat(snapshot, gaps=("products: no rate",)))[RemedyKind.REPLICA]
    assert (found.possible, found.reason, found.why_not) == (False, Reason.HEAT_UNKNOWN, "products: no rate")


def test_computation_that_is_not_measured_is_no_effect() -> None:
    found = the_three(a_cluster(2, cpu=None))
    for kind in (RemedyKind.REPLICA, RemedyKind.QUERY_NODE):
        assert (found[kind].busiest_percent_before, found[kind].busiest_percent_after) == (None, None)


# -- in words ---------------------------------------------------------------------------------------------------------


def test_what_was_not_chosen_says_what_it_would_have_done() -> None:
    found = tuple(the_three(spec=a_policy(nodes={})).values())
    assert as_rejections(found, found[0]) == (
        Rejection(
            alternative="SetReplicaNumber default.products 1 -> 2",
            reason=Reason.REPLICA_NEEDS_NODES,
            message="busiest 92 % -> 58 % for 1.6 GiB of memory; not possible: there are 2 of at most 6 QueryNodes, "
            "and another one would take its part of the 6 segments of default.products: nodes come before replicas",
        ),
        Rejection(
            alternative="ScaleOut 2 -> 3",
            reason=Reason.HOT_NODE,
            message="busiest 92 % -> 61 % for a pod of 2 CPU, 8.0 GiB; not chosen: 78 % with 4 moves, for 1.0 GiB "
            "moved",
        ),
    )


def test_beside_a_replica_the_cheaper_and_the_dearer_way_are_shown() -> None:
    found = tuple(the_three(spec=a_policy(nodes={"max_count": 2})).values())
    assert [one.message for one in as_rejections(found, found[1])] == [
        "busiest 92 % -> 78 % for 1.0 GiB moved; not chosen: 58 % with SetReplicaNumber default.products 1 -> 2, for "
        "1.6 GiB of memory",
        "busiest 92 % -> 61 % for a pod of 2 CPU, 8.0 GiB; not possible: maxCount of the QueryNodes is 2",
    ]


def test_without_a_choice_each_way_says_why() -> None:
    spec = a_policy(nodes={"max_count": 2}).model_copy(update={"in_memory_replicas": None})
    against = as_rejections(tuple(the_three(spec=spec, rebalance=NO_MOVES).values()), None)
    assert [(one.alternative, one.reason) for one in against] == [
        ("Rebalance", Reason.NO_NEUTRAL_SWAP),
        ("Replica", Reason.NOT_MANAGED),
        ("ScaleOut 2 -> 3", Reason.AT_MAXIMUM),
    ]
    assert against[2].message == (
        "busiest 92 % -> 61 % for a pod of 2 CPU, 8.0 GiB; not possible: maxCount of the QueryNodes is 2"
    )


# -- from the decision on the placement -------------------------------------------------------------------------------

_STEP = Step(kind=StepKind.MOVE_SEGMENTS, precondition={}, action={}, verification={}, undo={})


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        pytest.param(None, None, id="not declared"),
        pytest.param(Decision(reason=Reason.HOT_NODE, message="", steps=(_STEP,), outlook=MOVES), MOVES, id="moves"),
        pytest.param(Decision(reason=Reason.HOT_NODE, message="", outlook=MOVES), MOVES, id="only shown"),
        pytest.param(Decision(reason=Reason.STABILIZING, message="", outlook=MOVES), None, id="not yet"),
        pytest.param(
            Decision(reason=Reason.NO_NEUTRAL_SWAP, message="no row-neutral swap helps"), NO_MOVES, id="nothing better"
        ),
    ],
)
def test_the_decision_on_the_placement_says_whether_moves_help(
    placement: Decision | None, expected: Outlook | Rejection | None
) -> None:
    assert rebalance_of(placement) == expected
