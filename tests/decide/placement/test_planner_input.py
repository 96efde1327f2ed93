"""The planner's cluster says what the snapshot and the heat say, and pins what must not move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.decide.load import cluster_load
from milvus_tuning.decide.placement.planner_input import (
    Facts,
    filling,
    in_runs,
    loads,
    moved,
    planner_input,
    resource_groups,
)
from milvus_tuning.decide.rebalancing import Cluster, Limits, Move, Node, Replica, Segment
from milvus_tuning.snapshot import MISSING, ResourceGroup, SegmentState
from tests.builders import GIB, NOON, a_sample
from tests.decide.placement.hot import SEGMENT_BYTES, Placed, a_placement

THREE = [[0.9, 0.3], [0.2], [0.1]]


def a_cluster(placed: Placed, *, around: int = 1, ceiling: float = 0.9, excluded: tuple[str, ...] = ()) -> Cluster:
    facts = Facts(
        snapshot=placed.snapshot,
        heat=placed.heat,
        load=cluster_load(placed.snapshot, NOON),
        ceiling_ratio=ceiling,
        excluded=frozenset(excluded),
    )
    return planner_input(facts, around=around, max_moves=4)


def with_snapshot(placed: Placed, **changes: Any) -> Placed:
    return replace(placed, snapshot=replace(placed.snapshot, **changes))


def with_segment(placed: Placed, segment_id: int, /, **changes: Any) -> Placed:
    segments = tuple(
        replace(one, **changes) if one.segment_id == segment_id else one for one in placed.snapshot.segments
    )
    return with_snapshot(placed, segments=segments)


def with_node(placed: Placed, pod: str, **changes: Any) -> Placed:
    nodes = tuple(replace(one, **changes) if one.pod == pod else one for one in placed.snapshot.query_nodes)
    return with_snapshot(placed, query_nodes=nodes)


def pinned(cluster: Cluster) -> list[int | str]:
    return [one.id for one in cluster.segments if one.pinned]


def cordoned(cluster: Cluster) -> list[int | str]:
    return [one.id for one in cluster.nodes if one.cordoned]


def test_each_sealed_segment_is_there_with_its_heat_rows_bytes_and_replica() -> None:
    cluster = a_cluster(a_placement(THREE))
    assert cluster.segments[0] == Segment(
        id=5000, collection=100, replica=1100, node=1, heat=0.9, rows=10_000, memory_bytes=SEGMENT_BYTES
    )
    assert [one.id for one in cluster.segments] == [5000, 5001, 5002, 5003]
    assert pinned(cluster) == []
    assert cluster.replicas[0] == Replica(id=1100, collection=100, nodes=(1, 2, 3))
    assert cluster.limits == Limits(max_moves=4, memory_ceiling_ratio=0.9)


def test_loads_add_up_to_what_the_model_expects_of_the_nodes() -> None:
    placed = a_placement(THREE)
    nodes = tuple(replace(one, expected_cores=one.expected_cores + 0.2) for one in placed.heat.nodes)
    cluster = a_cluster(replace(placed, heat=replace(placed.heat, nodes=nodes)))
    assert loads(cluster) == pytest.approx({1: 0.7, 2: 0.2, 3: 0.15})
    assert {one.node: one.load for one in cluster.leaders} == pytest.approx({1: 0.1, 2: 0.1, 3: 0.1})
    assert a_cluster(placed).leaders == ()


def test_loads_after_moves_follow_each_segment_to_where_it_ends() -> None:
    cluster = a_cluster(a_placement(THREE))
    moves = [Move(segment=5001, source=1, destination=2), Move(segment=5001, source=2, destination=3)]
    assert loads(cluster, moves) == pytest.approx({1: 0.45, 2: 0.1, 3: 0.2})
    assert [one.id for one in moved(cluster, moves)] == [5001, 5001]


@pytest.mark.parametrize(
    ("used_gib", "ceiling", "room_gib"),
    [
        pytest.param(0.25, 0.9, 7.2, id="nothing but the segments: the guard times the limit"),
        pytest.param(4.25, 0.9, 3.2, id="4 GiB beside them"),
        pytest.param(4.25, 0.5, 0.0, id="full by the guard"),
        pytest.param(0.05, 0.9, 7.4, id="0.05 GiB used, though 0.25 GiB are estimated: 7.15 GiB are left"),
    ],
)
def test_segments_have_the_room_that_the_load_guard_leaves(used_gib: float, ceiling: float, room_gib: float) -> None:
    """qn-1 holds two segments of 0.125 GiB."""
    used = a_sample(used_gib * GIB)
    placed = with_node(a_placement(THREE), "qn-1", resident_memory_bytes=used, loaded_bytes=a_sample(0.0))
    node = next(one for one in a_cluster(placed, ceiling=ceiling).nodes if one.id == 1)
    assert node.memory_bytes * ceiling / GIB == pytest.approx(room_gib, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [], id="all is well"),
        pytest.param({"ready": False}, [2], id="not ready"),
        pytest.param({"terminating": True}, [2], id="leaving"),
        pytest.param({"resident_memory_bytes": MISSING}, [2], id="memory not known"),
        pytest.param({"resident_memory_bytes": a_sample(GIB, age=600.0)}, [2], id="memory too old"),
        pytest.param({"memory_limit_bytes": None}, [2], id="no memory limit"),
    ],
)
def test_a_node_that_must_not_take_segments_is_cordoned(changes: dict[str, Any], expected: list[int]) -> None:
    assert cordoned(a_cluster(with_node(a_placement(THREE), "qn-2", **changes))) == expected


@pytest.mark.parametrize(
    ("pod", "changes"),
    [
        pytest.param("qn-2", {"node_id": None}, id="which Milvus node it is, is not known"),
        pytest.param("qn-2", {"cpu_limit_cores": None}, id="without a CPU limit it has no load"),
    ],
)
def test_a_node_that_cannot_be_reasoned_about_is_left_out_with_its_segments(pod: str, changes: dict[str, Any]) -> None:
    cluster = a_cluster(with_node(a_placement(THREE), pod, **changes))
    assert [one.id for one in cluster.nodes] == [1, 3]
    assert [one.id for one in cluster.segments] == [5000, 5001, 5003]
    assert all(2 not in replica.nodes for replica in cluster.replicas)


def test_an_excluded_collection_stays_and_no_other() -> None:
    placed = a_placement(THREE)
    assert pinned(a_cluster(placed, excluded=("default.c0",))) == [5000]
    assert pinned(a_cluster(placed, excluded=("other.c0", "default.c9"))) == []


def test_a_collection_that_is_loading_or_unknown_stays() -> None:
    placed = a_placement(THREE)
    first, second, *others = placed.snapshot.collections
    loading = with_snapshot(placed, collections=(replace(first, load_percent=40), second, *others))
    assert pinned(a_cluster(loading)) == [5000]
    assert pinned(a_cluster(with_snapshot(placed, collections=(second, *others)))) == [5000]


def test_a_segment_of_a_leaving_node_is_left_to_milvus() -> None:
    assert pinned(a_cluster(with_node(a_placement(THREE), "qn-1", terminating=True))) == [5000, 5001]


def test_a_segment_that_its_replica_serves_twice_stays_and_is_listed_once() -> None:
    placed = with_segment(a_placement(THREE), 5000, node_ids=(1, 2))
    copy = replace(placed.heat.segments[0], node_id=2)
    both = replace(placed, heat=replace(placed.heat, segments=(copy, *placed.heat.segments)))
    for one in (placed, both):
        cluster = a_cluster(one)
        assert pinned(cluster) == [5000]
        assert [segment.node for segment in cluster.segments if segment.id == 5000] == [1]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"state": SegmentState.GROWING}, id="growing"),
        pytest.param({"node_ids": (2,)}, id="served elsewhere by now"),
        pytest.param({"segment_id": 9999}, id="gone"),
    ],
)
def test_what_is_not_sealed_where_the_heat_has_it_is_left_out_and_weighs_all_the_same(changes: dict[str, Any]) -> None:
    cluster = a_cluster(with_segment(a_placement(THREE), 5000, **changes))
    assert 5000 not in [one.id for one in cluster.segments]
    assert loads(cluster)[1] == pytest.approx(0.6)
    assert [one.node for one in cluster.leaders] == [1]


def test_the_cluster_ends_where_no_replica_leads_on() -> None:
    """c0 is on nodes 1 and 2, c1 on 2 and 3, c2 on 4: seen from 1, all but 4 are there."""
    placed = a_placement([[0.9], [0.2], [0.1], [0.5]])
    nodes = {1100: (1, 2), 1101: (2, 3), 1102: (3,), 1103: (4,)}
    replicas = tuple(replace(one, node_ids=nodes[one.replica_id]) for one in placed.snapshot.replicas)
    inside = a_cluster(with_snapshot(placed, replicas=replicas))
    assert [one.id for one in inside.nodes] == [1, 2, 3]
    assert [one.id for one in a_cluster(with_snapshot(placed, replicas=replicas), around=4).nodes] == [4]


def test_a_node_of_another_resource_group_is_no_node_of_the_replica() -> None:
    placed = a_placement([[0.9], [0.2], [0.1]])
    groups = (
        ResourceGroup(name="__default_resource_group", node_ids=(1, 2)),
        ResourceGroup(name="batch", node_ids=(3,)),
    )
    cluster = a_cluster(with_snapshot(placed, resource_groups=groups))
    assert {replica.nodes for replica in cluster.replicas} == {(1, 2)}
    assert [one.id for one in cluster.nodes] == [1, 2]
    assert {one.resource_group for one in cluster.nodes} == {"__default_resource_group"}
    assert [one.id for one in a_cluster(placed).nodes] == [1, 2, 3]


def test_resource_groups_are_as_listed_else_those_of_the_replicas() -> None:
    placed = a_placement([[0.9], [0.2]])
    listed = with_snapshot(placed, resource_groups=(ResourceGroup(name="batch", node_ids=(2,)),))
    assert resource_groups(listed.snapshot) == {1: "__default_resource_group", 2: "batch"}


def test_a_fill_goes_to_the_new_nodes_alone_and_weighs_by_the_greater_share() -> None:
    """5000 has 60 % of the heat and 25 % of the rows, 5003 7 % of the heat and 25 % of the rows."""
    cluster = a_cluster(a_placement([[0.9, 0.3], [0.2], [0.1], []]))
    weighed = filling(cluster, [4])
    assert cordoned(weighed) == [1, 2, 3]
    assert [one.heat for one in weighed.segments] == pytest.approx([0.6, 0.25, 0.25, 0.25])
    assert cordoned(cluster) == []


def test_an_idle_cluster_is_filled_by_rows_alone() -> None:
    idle = a_cluster(a_placement([[0.02, 0.0], [0.0], []], rows={5002: 60_000}))
    assert [one.heat for one in filling(idle, [3]).segments] == pytest.approx([0.125, 0.125, 0.75])


def a_small_cluster(*sizes: int, room: int) -> Cluster:
    """Segments 1, 2, ... of collection 1 on node 1, but the last, of collection 2, on node 2."""
    last = len(sizes)
    return Cluster(
        nodes=tuple(Node(id=one, memory_bytes=room, cpu=1.0) for one in (1, 2)),
        segments=tuple(
            Segment(id=at, memory_bytes=size, heat=1.0, node=2 if at == last else 1, collection=1 + (at == last))
            for at, size in enumerate(sizes, start=1)
        ),
        limits=Limits(memory_ceiling_ratio=1.0),
    )


def some_moves(*way: tuple[int, int, int]) -> tuple[Move, ...]:
    return tuple(Move(segment=one, source=source, destination=to) for one, source, to in way)


def test_moves_of_one_way_are_put_together() -> None:
    moves = some_moves((1, 1, 2), (3, 2, 1), (2, 1, 2))
    assert in_runs(a_small_cluster(5, 5, 5, room=100), moves) == some_moves((1, 1, 2), (2, 1, 2), (3, 2, 1))


def test_moves_keep_their_order_where_memory_needs_it() -> None:
    moves = some_moves((1, 1, 2), (3, 2, 1), (2, 1, 2))
    assert in_runs(a_small_cluster(5, 5, 5, room=12), moves) == moves


def test_a_stored_guard_of_zero_leaves_no_room_and_breaks_nothing() -> None:
    assert [one.memory_bytes for one in a_cluster(a_placement(THREE), ceiling=0.0).nodes] == [0, 0, 0]
