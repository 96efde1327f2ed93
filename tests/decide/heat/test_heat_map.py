"""The heat of segments, collections and QueryNodes, pass by pass."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from milvus_tuning.decide.heat import HeatMap, HeatMemory, NodeHeat, SegmentHeat, heat_map
from milvus_tuning.decide.heat.cost import LEADER_COST, NOMINAL_CORES_PER_COST, SEGMENT_COST
from milvus_tuning.snapshot import (
    MISSING,
    Collection,
    CollectionShape,
    QueryNode,
    Replica,
    Sample,
    Segment,
    SegmentState,
    Snapshot,
)
from tests.builders import NOON, a_node, a_sample

ROWS, DIMENSION, LIMIT = 10_000, 128, 0.3
SEGMENT = ROWS * DIMENSION + SEGMENT_COST  # of one search
SHAPE = CollectionShape(dimension=DIMENSION, vector_bytes=4 * DIMENSION, index_type="FLAT")


def some_query_nodes(cores: Sequence[float | None], limit: float | None = LIMIT) -> tuple[QueryNode, ...]:
    """QueryNodes qn-1, qn-2, ... that burn so many cores."""
    return tuple(
        a_node(
            f"qn-{number}",
            node_id=number,
            cpu_limit_cores=limit,
            cpu_cores=MISSING if burnt is None else a_sample(burnt),
        )
        for number, burnt in enumerate(cores, start=1)
    )


def a_collection(collection_id: int, rate: float | None, shape: CollectionShape | None = SHAPE) -> Collection:
    return Collection(
        collection_id=collection_id,
        name=f"c{collection_id}",
        searches_per_second=MISSING if rate is None else a_sample(rate),
        shape=shape,
    )


def a_snapshot(
    rates: Mapping[int, float | None],
    places: Mapping[int, Sequence[int]],
    cores: Sequence[float | None],
    *,
    leaders: bool = False,
    **changes: object,
) -> Snapshot:
    """Collections by id with searches per second, and for each the nodes of its segments, one segment an entry."""
    nodes = some_query_nodes(cores)
    everywhere = tuple(node.node_id for node in nodes if node.node_id is not None)
    snapshot = Snapshot(
        taken_at=NOON,
        query_nodes=nodes,
        collections=tuple(a_collection(collection_id, rate) for collection_id, rate in rates.items()),
        replicas=tuple(
            Replica(
                replica_id=collection_id * 10,
                collection_id=collection_id,
                node_ids=everywhere,
                leaders=(("dml_0", places[collection_id][0]),) if leaders else (),
            )
            for collection_id in rates
        ),
        segments=tuple(
            Segment(segment_id=collection_id * 100 + at, collection_id=collection_id, rows=ROWS, node_ids=(node_id,))
            for collection_id in rates
            for at, node_id in enumerate(places[collection_id])
        ),
    )
    return replace(snapshot, **changes)  # type: ignore[arg-type]


def seen(snapshot: Snapshot, memory: HeatMemory | None = None) -> HeatMap:
    return heat_map(snapshot, memory, NOON)[0]


def cores_of(heat: HeatMap) -> dict[int, float]:
    return {segment.segment_id: segment.cores for segment in heat.segments}


def node_of(heat: HeatMap, node_id: int) -> NodeHeat:
    return next(node for node in heat.nodes if node.node_id == node_id)


def two_hot_on_one_node(cores: Sequence[float | None] = (0.30, 0.02)) -> Snapshot:
    """Measured on 2.3.5: six collections of one segment and equal rows, two of them searched, both on one node."""
    rates = {1: 164.0, 2: 164.0, 3: 1.0, 4: 1.0, 5: 1.0, 6: 1.0}
    return a_snapshot(rates, {1: [1], 2: [1], 3: [1], 4: [2], 5: [2], 6: [2]}, cores, leaders=True)


def test_two_hot_collections_on_one_node_are_told_from_cold_ones_of_equal_rows() -> None:
    heat = seen(two_hot_on_one_node())

    cores = cores_of(heat)
    assert min(cores[100], cores[200]) >= 10 * max(cores[number] for number in (300, 400, 500, 600))
    hot, cold = node_of(heat, 1), node_of(heat, 2)
    assert hot.saturated
    assert not cold.saturated
    assert hot.expected_cores >= 0.30
    assert hot.expected_cores > 5 * cold.expected_cores
    assert cold.expected_cores == pytest.approx(0.02, abs=0.002)
    assert heat.error_ratio == pytest.approx(0.0, abs=0.01)
    assert heat.gaps == ()
    hottest = heat.collections[0]
    assert (hottest.database, hottest.name, hottest.busiest_node_id) == ("default", "c1", 1)
    assert hottest.share_ratio == pytest.approx(164 / 332, abs=0.001)


def test_equal_rates_make_equal_heat() -> None:
    snapshot = a_snapshot({1: 50, 2: 50}, {1: [1], 2: [2]}, (0.2, 0.2))

    heat = seen(snapshot)

    assert cores_of(heat) == pytest.approx({100: 0.2, 200: 0.2})
    assert [node.expected_cores for node in heat.nodes] == pytest.approx([0.2, 0.2])


def test_worked_example() -> None:
    """Node 1 carries 40 segments' work a second, node 2 carries 10: 0.21 and 0.06 cores are 0.01 + 0.005 x work."""
    snapshot = a_snapshot({1: 10, 2: 10}, {1: [1, 1, 1], 2: [1, 2]}, (0.21, 0.06))

    heat, memory = heat_map(snapshot, None, NOON)

    assert memory.base_cores == pytest.approx(0.01, abs=0.001)
    assert memory.cores_per_cost == pytest.approx(0.005 / SEGMENT, rel=0.01)
    assert heat.segments[0] == SegmentHeat(
        segment_id=100,
        collection_id=1,
        replica_id=10,
        node_id=1,
        rows=ROWS,
        memory_bytes=6_144_000,
        cores=pytest.approx(0.05, rel=0.01),  # type: ignore[arg-type]
    )
    first, second = heat.collections
    assert (first.cores, second.cores) == pytest.approx((0.15, 0.10), rel=0.01)
    assert (first.share_ratio, second.share_ratio) == pytest.approx((0.6, 0.4))
    assert (first.searches_per_second, first.replicas, first.segments) == (10, 1, 3)
    assert (first.busiest_node_id, second.busiest_node_id) == (1, 1)
    assert [node.fixed_cores for node in heat.nodes] == pytest.approx([0.01, 0.01], abs=0.001)


def test_a_replica_is_as_hot_as_it_is_searched() -> None:
    nodes = some_query_nodes((0.1, 0.1))
    snapshot = Snapshot(
        taken_at=NOON,
        query_nodes=nodes,
        collections=(a_collection(1, 30),),
        replicas=tuple(Replica(replica_id=10 + node_id, collection_id=1, node_ids=(node_id,)) for node_id in (1, 2)),
        segments=(Segment(segment_id=100, collection_id=1, rows=ROWS, node_ids=(1, 2), memory_bytes=7),),
    )

    heat = seen(snapshot)

    assert [(one.replica_id, one.node_id, one.memory_bytes) for one in heat.segments] == [(11, 1, 7), (12, 2, 7)]
    assert [one.cores for one in heat.segments] == pytest.approx([0.1, 0.1])
    assert heat.collections[0].searches_per_second == 30


def test_what_cannot_be_moved_is_on_the_node_and_in_no_segment() -> None:
    plain = a_snapshot({1: 10, 2: 10}, {1: [1], 2: [2]}, (0.2, 0.1))
    growing = Segment(
        segment_id=999, collection_id=1, rows=ROWS, node_ids=(1,), state=SegmentState.GROWING, memory_bytes=5
    )
    replicas = (replace(plain.replicas[0], leaders=(("dml_0", 1),)), plain.replicas[1])
    memory = HeatMemory(at=NOON, cores_per_cost=1e-9, base_cores=0.01)

    before, after = (
        seen(plain, memory),
        seen(replace(plain, segments=(*plain.segments, growing), replicas=replicas), memory),
    )

    added = 10 * (SEGMENT + LEADER_COST) * 1e-9
    assert cores_of(after) == cores_of(before)
    assert node_of(after, 1).fixed_cores == pytest.approx(node_of(before, 1).fixed_cores + added)
    assert node_of(after, 1).expected_cores == pytest.approx(node_of(before, 1).expected_cores + added)
    assert node_of(after, 2) == node_of(before, 2)
    assert after.collections[0].cores == pytest.approx(before.collections[0].cores + added)


@pytest.mark.parametrize(
    ("snapshot", "gap"),
    [
        pytest.param(
            a_snapshot({1: None, 2: 10}, {1: [1], 2: [2]}, (0.2, 0.1)),
            "default.c1: searches per second missing",
            id="no rate of a collection",
        ),
        pytest.param(a_snapshot({1: 9}, {1: [1]}, (0.2, None)), "qn-2: CPU missing", id="no CPU of a node"),
        pytest.param(
            a_snapshot({1: 9}, {1: [1]}, (0.2, 0.9)),
            "qn-2: CPU 3.0 times its limit is not plausible",
            id="poisoned CPU",
        ),
        pytest.param(
            a_snapshot({1: 9}, {1: [1]}, (0.2,), query_nodes=some_query_nodes((0.2,), None)),
            "qn-1: no CPU limit",
            id="no CPU limit",
        ),
        pytest.param(
            a_snapshot({1: 9}, {1: [1]}, (0.2,), query_nodes=(a_node("qn-9", node_id=None), a_node(node_id=1))),
            "qn-9: its Milvus node id is not known",
            id="no node id",
        ),
        pytest.param(
            a_snapshot({1: 9}, {1: [1]}, (0.2,), placement_coverage=0.5),
            "Milvus: the placement is known of 50 % of the collections",
            id="placement in part",
        ),
        pytest.param(
            a_snapshot({1: 9}, {1: [7]}, (0.2,)),
            "Milvus node 7: holds segments, its pod is not known",
            id="a node without a pod",
        ),
        pytest.param(
            a_snapshot({1: 9}, {1: [1]}, (0.2,), collections=()),
            "collection 1: 1 segments on QueryNodes of no replica",
            id="a collection that is not loaded",
        ),
    ],
)
def test_what_is_missing_is_said(snapshot: Snapshot, gap: str) -> None:
    assert seen(snapshot).gaps == (gap,)


def test_a_complete_picture_has_no_gap() -> None:
    assert seen(a_snapshot({1: 9, 2: 0}, {1: [1], 2: [2]}, (0.2, 0.01))).gaps == ()


def test_a_missing_rate_is_not_zero() -> None:
    known = a_snapshot({1: 50, 2: 0}, {1: [1], 2: [2]}, (0.2, 0.1))
    unknown = a_snapshot({1: 50, 2: None}, {1: [1], 2: [2]}, (0.2, 0.1))

    assert cores_of(seen(known))[200] == 0.0
    assert 200 not in cores_of(seen(unknown))
    assert seen(known).collections[1].searches_per_second == 0.0
    assert seen(unknown).collections[1].searches_per_second is None


def test_a_node_with_an_unknown_rate_does_not_teach_the_scale() -> None:
    _, memory = heat_map(a_snapshot({1: 50, 2: None}, {1: [1], 2: [2]}, (0.2, 0.29)), None, NOON)
    _, alone = heat_map(a_snapshot({1: 50}, {1: [1]}, (0.2,)), None, NOON)

    assert memory.cores_per_cost == pytest.approx(alone.cores_per_cost)


@pytest.mark.parametrize("cores", [(0.001, 0.002), (0.0, 0.0)], ids=["next to nothing", "nothing"])
def test_an_idle_cluster_has_no_error_no_gap_and_teaches_nothing(cores: tuple[float, float]) -> None:
    memory = HeatMemory(at=NOON - timedelta(seconds=60), cores_per_cost=1e-9, base_cores=0.01)

    heat, after = heat_map(a_snapshot({1: 0.1}, {1: [1]}, cores), memory, NOON)

    assert (heat.error_ratio, heat.gaps) == (None, ())
    assert (after.cores_per_cost, after.base_cores) == (1e-9, 0.01)


def test_a_cluster_that_was_seen_in_part_teaches_nothing() -> None:
    memory = HeatMemory(at=NOON - timedelta(seconds=60), cores_per_cost=1e-9, base_cores=0.01)
    snapshot = a_snapshot({1: 50}, {1: [1]}, (0.2,))

    assert heat_map(replace(snapshot, placement_coverage=0.9), memory, NOON)[1].cores_per_cost == 1e-9
    assert heat_map(snapshot, memory, NOON)[1].cores_per_cost != 1e-9


def test_without_any_cpu_the_scale_is_nominal_and_the_gaps_say_so() -> None:
    heat, memory = heat_map(a_snapshot({1: 50}, {1: [1]}, (None,)), None, NOON)

    assert cores_of(heat)[100] == pytest.approx(50 * SEGMENT * NOMINAL_CORES_PER_COST)
    assert heat.gaps == ("qn-1: CPU missing",)
    assert (heat.error_ratio, memory.cores_per_cost) == (None, None)


def test_the_scale_moves_half_way_in_its_half_life() -> None:
    snapshot = a_snapshot({1: 50}, {1: [1]}, (0.2,))
    per_cost = 0.2 / (50 * SEGMENT)
    memory = HeatMemory(at=NOON - timedelta(seconds=120), cores_per_cost=3 * per_cost, base_cores=0.0)

    heat, after = heat_map(snapshot, memory, NOON)

    assert after.cores_per_cost == pytest.approx(2 * per_cost)
    assert heat.nodes[0].expected_cores == pytest.approx(0.4)
    assert heat.error_ratio == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"cpu_cores": a_sample(0.2)}, 1.0, id="a node with room does not burn what is expected"),
        pytest.param({"cpu_cores": a_sample(0.29)}, 0.0, id="at its limit it may have more asked of it"),
        pytest.param(
            {"cpu_cores": a_sample(0.2), "queue_latency_milliseconds": a_sample(80)}, 0.0, id="so where searches wait"
        ),
        pytest.param(
            {"cpu_cores": a_sample(0.2), "queue_latency_milliseconds": a_sample(80, age=90)}, 1.0, id="a wait of before"
        ),
        pytest.param(
            {"cpu_cores": a_sample(0.2), "queue_latency_milliseconds": a_sample(5)}, 1.0, id="a short wait is none"
        ),
    ],
)
def test_more_than_a_saturated_node_can_burn_is_no_error(change: Mapping[str, Sample], error: float) -> None:
    snapshot = a_snapshot({1: 50}, {1: [1]}, (0.2,))
    node = replace(snapshot.query_nodes[0], **change)  # type: ignore[arg-type]
    burnt = node.cpu_cores.value or 0.0
    memory = HeatMemory(at=NOON, cores_per_cost=2 * burnt / (50 * SEGMENT), base_cores=0.0)

    heat = seen(replace(snapshot, query_nodes=(node,)), memory)

    assert heat.nodes[0].expected_cores == pytest.approx(2 * burnt)
    assert heat.error_ratio == pytest.approx(error)


def test_too_few_measured_nodes_have_no_error() -> None:
    places = {1: [1, 2, 3]}

    assert seen(a_snapshot({1: 50}, places, (0.2, 0.2, None))).error_ratio is not None
    assert seen(a_snapshot({1: 50}, places, (0.2, None, None))).error_ratio is None


def test_an_assumed_shape_is_noted_where_it_matters() -> None:
    snapshot = a_snapshot({1: 50, 2: 50, 3: 0.1}, {1: [1], 2: [2], 3: [2]}, (0.2, 0.2))
    blind = tuple(replace(one, shape=None) if one.collection_id > 1 else one for one in snapshot.collections)

    heat = seen(replace(snapshot, collections=blind))

    assert heat.notes == (
        "default.c2: index and dimension not known, taken as brute force over 128 dimensions (50 % of the heat)",
    )
    assert heat.gaps == ()
    assert {one.memory_bytes for one in heat.segments} == {6_144_000}
    assert seen(snapshot).notes == ()


def test_a_node_that_leaves_has_no_heat_of_its_own_and_is_no_stranger() -> None:
    snapshot = a_snapshot({1: 50}, {1: [1, 2]}, (0.2, 0.2))
    leaving = (snapshot.query_nodes[0], replace(snapshot.query_nodes[1], terminating=True))

    heat = seen(replace(snapshot, query_nodes=leaving))

    assert [node.node_id for node in heat.nodes] == [1]
    assert [one.node_id for one in heat.segments] == [1, 2]
    assert heat.gaps == ()


def test_twenty_thousand_segments_are_all_there() -> None:
    places = {number: [1 + at % 3 for at in range(200)] for number in range(1, 101)}
    snapshot = a_snapshot(dict.fromkeys(places, 1.0), places, (0.2, 0.2, 0.2))

    heat = seen(snapshot)

    assert len(heat.segments) == 20_000
    assert sum(node.expected_cores for node in heat.nodes) == pytest.approx(0.6, rel=0.01)


def test_a_shift_of_the_load_is_no_error_of_the_model() -> None:
    calm = a_snapshot({1: 10, 2: 10}, {1: [1], 2: [2]}, (0.02, 0.02))
    busy = a_snapshot({1: 100, 2: 10}, {1: [1], 2: [2]}, (0.2, 0.02))
    _, memory = heat_map(calm, None, NOON)
    errors = []
    for seconds in (15, 30, 45, 60):
        now = NOON + timedelta(seconds=seconds)
        heat, memory = heat_map(replace(busy, taken_at=now), memory, now)
        errors.append(heat.error_ratio)

    assert errors == pytest.approx([0.0] * 4, abs=0.01)
    assert node_of(heat, 1).measured_cores == pytest.approx(0.11), "half of the way after a half-life"
