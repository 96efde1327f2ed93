"""A QueryNode that came is filled by us where Milvus's balancer is off, with its share and no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from milvus_tuning.decide.placement.new_nodes import NewNode, fill, new_nodes
from milvus_tuning.decide.rebalancing import Cluster, Leader, Limits, Move, Node, Replica, Segment
from milvus_tuning.plan import Reason, StepKind, Verdict
from milvus_tuning.snapshot import MISSING, SegmentState
from tests.builders import MEMORY_LIMIT_BYTES, NOON, a_sample
from tests.decide.placement.hot import Placed, a_move_operation, a_placement, a_policy, auto_balance, decided

OPERATOR = a_policy(owner="Operator")
EVEN = [[0.3] * 4, [0.3] * 4, [0.3] * 4, []]
"""Three nodes at 60 % and a fourth that came: three segments make it four times three."""
YOUNG = {"created_at": NOON - timedelta(minutes=10)}


def placed_by_us(heats: list[list[float]], **changes: Any) -> Placed:
    return a_placement(heats, settings=auto_balance("false"), **changes)


def destinations(placed: Placed, spec: Any = OPERATOR, **changes: Any) -> list[str]:
    """The destinations of what is moved to a new node; none where that is not the reason."""
    found = decided(placed, spec, **changes)
    if found.reason is not Reason.NEW_NODE:
        return []
    assert {step.kind for step in found.steps} == {StepKind.MOVE_SEGMENTS}
    return [str(step.action["pod"]) for step in found.steps for _ in str(step.action["segments"]).split()]


def test_a_new_node_takes_its_share_and_nobody_else_takes_anything() -> None:
    found = decided(placed_by_us(EVEN), OPERATOR)
    assert destinations(placed_by_us(EVEN)) == ["qn-4"] * 3
    assert {str(step.precondition["pod"]) for step in found.steps} == {"qn-1", "qn-2", "qn-3"}
    assert found.message == (
        "qn-4 has 0 of the 30,000 rows that an even share would be; 3 moves (30,000 rows, 384 MiB): 60 % -> 45 % "
        "expected of the busiest QueryNode"
    )


def test_no_window_and_no_rest_is_needed() -> None:
    done = [a_move_operation(ended_seconds_ago=10)]
    assert destinations(placed_by_us(EVEN), lasting_seconds=0.0, operations=done) == ["qn-4"] * 3


@pytest.mark.parametrize(
    ("operation", "filled"),
    [
        pytest.param({"outcome": Reason.PRECONDITION_CHANGED}, False, id="failed"),
        pytest.param({"verdict": Verdict.ROLLED_BACK}, False, id="rolled back"),
        pytest.param({"verdict": Verdict.ROLLED_BACK, "ended_seconds_ago": 121.0}, True, id="two minutes ago"),
    ],
)
def test_after_moves_that_did_not_go_through_there_is_a_rest(operation: dict[str, Any], filled: bool) -> None:
    past = [a_move_operation(**{"ended_seconds_ago": 60.0, **operation})]
    assert bool(destinations(placed_by_us(EVEN), operations=past)) is filled
    if not filled:
        assert decided(placed_by_us(EVEN), OPERATOR, operations=past).reason is Reason.COOLDOWN


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        pytest.param(a_policy(), auto_balance("false"), id="placementOwner is not declared"),
        pytest.param(a_policy(owner="Milvus"), auto_balance("false"), id="Milvus places"),
        pytest.param(OPERATOR, {}, id="not taken over yet"),
    ],
)
def test_only_an_operator_that_places_fills_nodes(spec: Any, settings: Any) -> None:
    assert destinations(a_placement(EVEN, settings=settings), spec) == []


def test_an_idle_cluster_is_filled_by_rows() -> None:
    heats = [[0.0] * 4, [0.0] * 4, []]
    assert destinations(placed_by_us(heats)) == ["qn-3"] * 2
    found = decided(placed_by_us(heats, rows={5001: 70_000}), OPERATOR)
    assert [step.action["segments"] for step in found.steps] == ["5001"]


def test_a_node_in_mode_observe_is_not_filled_and_it_is_said_how_it_would_be() -> None:
    found = decided(placed_by_us(EVEN), a_policy(owner="Operator", mode="Observe"))
    assert (found.reason, found.steps) == (Reason.NEW_NODE, ())
    assert found.rejected[0].alternative == "MoveSegments 3"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"resident_memory_bytes": MISSING, "loaded_bytes": MISSING}, Reason.STABILIZING, id="unknown"),
        pytest.param({"resident_memory_bytes": a_sample(0.895 * MEMORY_LIMIT_BYTES)}, Reason.STABILIZING, id="full"),
        pytest.param({"node_id": None}, Reason.HEAT_UNKNOWN, id="without an id"),
        pytest.param({"ready": False}, Reason.STEADY, id="not ready"),
    ],
)
def test_a_node_that_cannot_take_segments_gets_none(changes: dict[str, Any], reason: Reason) -> None:
    found = decided(placed_by_us(EVEN, nodes={"qn-4": changes}), OPERATOR, lasting_seconds=0.0)
    assert (found.reason, found.steps) == (reason, ())


def test_excluded_collections_fill_nothing() -> None:
    names = [{"database": "default", "name": f"c{at}"} for at in range(12)]
    assert destinations(placed_by_us(EVEN), a_policy(owner="Operator", exclude_collections=names)) == []
    some = a_policy(owner="Operator", exclude_collections=names[:4])
    assert len(destinations(placed_by_us(EVEN), some)) == 2


@pytest.mark.parametrize(
    ("last", "young", "expected"),
    [
        pytest.param([], False, ["qn-4"], id="empty, however old"),
        pytest.param([0.3], True, ["qn-4"], id="a part of its share, in its first hour"),
        pytest.param([0.3], False, [], id="a part of its share, later: one as the others"),
        pytest.param([0.3] * 3, True, [], id="its share less the tolerance"),
    ],
)
def test_a_node_is_new_while_it_is_empty_or_young_and_short_of_rows(
    last: list[float], young: bool, expected: list[str]
) -> None:
    placed = placed_by_us([*EVEN[:3], last], nodes={"qn-4": YOUNG} if young else {})
    found = new_nodes(placed.snapshot, NOON, imbalance_ratio=0.2)
    assert [one.node.pod for one in found] == expected
    assert all(isinstance(one, NewNode) and one.rows == 10_000 * len(last) for one in found)


def test_a_node_of_no_replica_with_rows_is_not_new() -> None:
    placed = placed_by_us(EVEN)
    without = tuple(replace(one, node_ids=(1, 2, 3)) for one in placed.snapshot.replicas)
    growing = tuple(replace(one, state=SegmentState.GROWING) for one in placed.snapshot.segments)
    for changes in ({"replicas": without}, {"segments": growing}):
        assert new_nodes(replace(placed.snapshot, **changes), NOON, imbalance_ratio=0.2) == ()


# -- how it is filled ------------------------------------------------------------------------------------------------


def a_cluster(*heats: tuple[float, ...], size: int = 1, room: int = 100, replica: tuple[int, ...] = ()) -> Cluster:
    """Nodes 1, 2, ... with these segments; the last one alone takes in."""
    nodes = range(1, len(heats) + 1)
    held = [(node, heat) for node, row in zip(nodes, heats, strict=True) for heat in row]
    return Cluster(
        nodes=tuple(Node(id=one, memory_bytes=room, cpu=1.0, cordoned=one < len(heats)) for one in nodes),
        segments=tuple(
            Segment(id=at, memory_bytes=size, heat=heat, node=node, collection=1, replica=1)
            for at, (node, heat) in enumerate(held)
        ),
        replicas=(Replica(id=1, collection=1, nodes=replica or tuple(nodes)),),
        limits=Limits(memory_ceiling_ratio=1.0),
    )


@pytest.mark.parametrize(
    ("cluster", "moved"),
    [
        pytest.param(a_cluster((1.0, 1.0), (1.0, 1.0), ()), [(0, 1)], id="2 2 0: one, since two make 1 1 2"),
        pytest.param(a_cluster((1.0,) * 3, (1.0,) * 3, ()), [(0, 1), (3, 2)], id="3 3 0: one of each"),
        pytest.param(a_cluster((4.0, 3.0, 1.0), ()), [(0, 1)], id="8 0: the one that halves it"),
        pytest.param(a_cluster((1.0,), ()), [], id="the only segment stays: the new node would be as loaded"),
        pytest.param(a_cluster((0.0, 0.0), ()), [], id="no weight, no move"),
        pytest.param(a_cluster((1.0, 1.0), (1.0,), (1.0,)), [], id="as full as it gets"),
        pytest.param(a_cluster((2.0, 2.0), (), replica=(1,)), [], id="not of the replica"),
        pytest.param(a_cluster((1.0,) * 4, (), room=4, size=4), [(0, 1)], id="memory for one"),
    ],
)
def test_segments_go_one_by_one_from_the_most_loaded_node(cluster: Cluster, moved: list[tuple[int, int]]) -> None:
    new = len(cluster.nodes)
    expected = tuple(Move(segment=segment, source=source, destination=new) for segment, source in moved)
    assert fill(cluster, cluster, most=10) == expected


def test_a_new_node_gets_no_busier_than_the_busiest_is() -> None:
    """Weights as for 4 and 0 equal segments, while qn-2 leads shards: 0.5 of its CPU, and 1.2 is on the busiest."""
    segments = a_cluster((0.3,) * 4, ())
    weighed = a_cluster((1.0,) * 4, ())
    assert [len(fill(one, weighed, most=10)) for one in (segments, with_leader(segments, 0.5))] == [2, 2]
    assert [len(fill(one, weighed, most=10)) for one in (with_leader(segments, 0.8), with_leader(segments, 1.3))] == [
        1,
        0,
    ]


def with_leader(cluster: Cluster, load: float) -> Cluster:
    return replace(cluster, leaders=(Leader(node=2, load=load),))


def test_no_more_than_the_limit_go_at_once() -> None:
    cluster = a_cluster((1.0,) * 9, ())
    assert [len(fill(cluster, cluster, most=most)) for most in (0, 2, 10)] == [0, 2, 4]
