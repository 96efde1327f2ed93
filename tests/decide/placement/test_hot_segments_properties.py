"""What holds for every cluster: what a plan may never touch or exceed, and that nothing but the facts decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import hypothesis.strategies as st
from hypothesis import assume, event, given, settings

from milvus_tuning.decide.heat.model import HeatMap, NodeHeat, SegmentHeat
from milvus_tuning.decide.placement.hot_segments import decide_placement
from milvus_tuning.plan import Decision, Parameters, Reason, StepKind
from milvus_tuning.snapshot import (
    Collection,
    QueryNode,
    Replica,
    ResourceGroup,
    Segment,
    SegmentState,
    Snapshot,
)
from tests.builders import CPU_LIMIT_CORES, GIB, NOON, a_history, a_node, a_sample, a_snapshot
from tests.decide.placement.hot import a_policy, auto_balance

GROUPS = ("__default_resource_group", "batch")
GUARD = 0.9
ROWS_TOLERANCE = 0.02
MOST_MOVES = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """A cluster with heat, and who places in it."""

    snapshot: Snapshot
    heat: HeatMap
    owner: str | None
    excluded: tuple[str, ...]

    @property
    def balancer_on(self) -> bool:
        return not self.snapshot.settings

    def decide(self, snapshot: Snapshot | None = None, heat: HeatMap | None = None) -> Decision:
        excluded = [{"database": "default", "name": name} for name in self.excluded]
        spec = a_policy(owner=self.owner, max_moves_per_plan=MOST_MOVES, exclude_collections=excluded)
        facts = snapshot or self.snapshot
        found = decide_placement(spec, facts, heat or self.heat, a_history(self.snapshot), NOON)
        assert found is not None
        return found


@st.composite
def worlds(draw: st.DrawFn, *, coldest: bool = False) -> World:
    """Up to five nodes in two resource groups; the first tends to be hot. Some segments are growing or served twice."""
    count = draw(st.integers(2, 5))
    group_of = {at: GROUPS[draw(st.integers(0, 5)) == 5 and at > 1] for at in range(1, count + 1)}
    collections, replicas, segments, copies = [], [], [], []
    for number in range(draw(st.integers(2, 8))):
        collection = 100 + number
        collections.append(Collection(collection_id=collection, name=f"c{number}"))
        own = _replicas(draw, collection, group_of)
        replicas += own
        for at in range(draw(st.sampled_from((1, 1, 1, 2, 5)))):
            segment, heats = _segment(draw, 5000 + 10 * number + at, own)
            segments.append(segment)
            copies += heats
    heat_of = _cores(copies)
    factor = 0.199 * CPU_LIMIT_CORES / max(heat_of.values(), default=1.0) if coldest and any(heat_of.values()) else 1.0
    copies = [replace(one, cores=one.cores * factor) for one in copies]
    heat_of = _cores(copies)
    assume(all(cores <= 1.9 * CPU_LIMIT_CORES for cores in heat_of.values()))
    nodes = tuple(_node(draw, at, heat_of.get(at, 0.0), copies) for at in group_of)
    owner = draw(st.sampled_from((None, "Milvus", "Operator")))
    off = draw(st.booleans())
    snapshot = replace(
        a_snapshot(nodes),
        collections=tuple(collections),
        replicas=tuple(replicas),
        segments=tuple(segments),
        resource_groups=tuple(
            ResourceGroup(name=name, node_ids=tuple(at for at in group_of if group_of[at] == name)) for name in GROUPS
        ),
        settings=auto_balance("false") if off else {},
        settings_readable=True,
        etcd_root_path="by-dev",
    )
    excluded = tuple(one.name for one in collections if draw(st.integers(0, 5)) == 0)
    return World(snapshot=snapshot, heat=_heat(nodes, copies), owner=owner, excluded=excluded)


def _replicas(draw: st.DrawFn, collection: int, group_of: dict[int, str]) -> list[Replica]:
    """One replica, or two, each within one resource group and on nodes of its own."""
    found: list[Replica] = []
    free = set(group_of)
    for number in range(draw(st.sampled_from((1, 1, 2)))):
        group = draw(st.sampled_from(sorted({group_of[at] for at in free}))) if free else None
        inside = sorted(at for at in free if group_of[at] == group)
        if not inside:
            break
        nodes = tuple(inside if draw(st.integers(0, 3)) else inside[: draw(st.integers(1, len(inside)))])
        free -= set(nodes)
        found.append(
            Replica(
                replica_id=10 * collection + number,
                collection_id=collection,
                node_ids=nodes,
                resource_group=group or GROUPS[0],
            )
        )
    return found


def _segment(draw: st.DrawFn, segment_id: int, own: Sequence[Replica]) -> tuple[Segment, list[SegmentHeat]]:
    rows = draw(st.sampled_from((10_000, 10_000, 10_000, 10_000, 10_010, 1_000)))
    growing, twice = draw(st.integers(0, 9)) == 0, draw(st.integers(0, 9)) == 0
    places: list[int] = []
    heats = []
    for replica in own:
        node = draw(st.sampled_from(replica.node_ids))
        hot = node == 1 and draw(st.integers(0, 3)) > 0
        places.append(node)
        if twice and node != replica.node_ids[-1]:
            places.append(replica.node_ids[-1])
        heats.append(
            SegmentHeat(
                segment_id=segment_id,
                collection_id=replica.collection_id,
                replica_id=replica.replica_id,
                node_id=node,
                rows=rows,
                memory_bytes=draw(st.sampled_from((GIB // 16, GIB // 2, GIB))),
                cores=draw(st.floats(0.3, 0.9) if hot else st.floats(0.0, 0.15)),
            )
        )
    state = SegmentState.GROWING if growing else SegmentState.SEALED
    segment = Segment(
        segment_id=segment_id, collection_id=own[0].collection_id, rows=rows, node_ids=tuple(places), state=state
    )
    return segment, heats


def _cores(copies: Sequence[SegmentHeat]) -> dict[int, float]:
    found: defaultdict[int, float] = defaultdict(float)
    for one in copies:
        found[one.node_id] += one.cores
    return dict(found)


def _node(draw: st.DrawFn, at: int, cores: float, copies: Sequence[SegmentHeat]) -> QueryNode:
    held = sum(one.memory_bytes for one in copies if one.node_id == at)
    used = held + draw(st.sampled_from((GIB // 4, GIB, 4 * GIB)))
    limit = draw(st.sampled_from((8 * GIB, 16 * GIB)))
    return replace(
        a_node(f"qn-{at}", node_id=at),
        cpu_cores=a_sample(cores),
        memory_limit_bytes=max(limit, used),
        resident_memory_bytes=a_sample(float(used)),
        loaded_bytes=a_sample(float(held)),
    )


def _heat(nodes: Sequence[QueryNode], copies: Sequence[SegmentHeat]) -> HeatMap:
    expected = _cores(copies)
    return HeatMap(
        at=NOON,
        segments=tuple(copies),
        nodes=tuple(
            NodeHeat(
                pod=node.pod,
                node_id=node.node_id or 0,
                cpu_limit_cores=node.cpu_limit_cores,
                expected_cores=expected.get(node.node_id or 0, 0.0),
                measured_cores=node.cpu_cores.value,
            )
            for node in nodes
        ),
        error_ratio=0.1,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """One segment of a step: from where, and to where."""

    segment: Segment
    collection: str
    source: int
    destination: int


def moves_of(world: World, decision: Decision) -> list[Moved]:
    served = {one.segment_id: one for one in world.snapshot.segments}

    def node(part: Parameters) -> int:
        return next(one.node_id or 0 for one in world.snapshot.query_nodes if one.pod == part["pod"])

    return [
        Moved(
            segment=served[int(segment)],
            collection=str(step.action["collection"]),
            source=node(step.precondition),
            destination=node(step.action),
        )
        for step in decision.steps
        if step.kind is StepKind.MOVE_SEGMENTS
        for segment in str(step.action["segments"]).split()
    ]


def replica_of(world: World, moved: Moved) -> Replica:
    return next(
        one
        for one in world.snapshot.replicas
        if one.collection_id == moved.segment.collection_id and moved.source in one.node_ids
    )


@given(worlds())
def test_a_plan_moves_only_what_may_move_to_where_there_is_room_and_lowers_the_busiest_node(world: World) -> None:
    found = world.decide()
    moves = moves_of(world, found)
    event(f"{found.reason}, {'moves' if moves else 'no moves'}")
    assert len(moves) <= MOST_MOVES
    assert len(found.steps) <= 10
    assert bool(moves) == bool(found.steps)
    assert_inside(world, moves)
    assert_room(world, moves)
    if moves and world.balancer_on:
        assert [found.steps[0].kind, found.steps[-1].kind] == [StepKind.TAKE_PLACEMENT, StepKind.RETURN_PLACEMENT]
        assert_neutral(world, moves)
    if moves:
        assert found.outlook is not None
        assert found.inputs["moves"] == found.outlook.moved_segments == len(moves)
        assert found.inputs["movedRows"] == sum(moved.segment.rows for moved in moves)
        assert (found.outlook.busiest_percent_after or 0) <= (found.outlook.busiest_percent_before or 0)


def assert_inside(world: World, moves: Sequence[Moved]) -> None:
    """Within replica and resource group; sealed, served once, and of no excluded collection."""
    groups = {at: group.name for group in world.snapshot.resource_groups for at in group.node_ids}
    for moved in moves:
        replica = replica_of(world, moved)
        assert moved.destination in replica.node_ids
        assert groups[moved.source] == groups[moved.destination] == replica.resource_group
        assert moved.segment.state is SegmentState.SEALED
        assert set(moved.segment.node_ids).intersection(replica.node_ids) == {moved.source}
        assert moved.collection not in world.excluded


def assert_room(world: World, moves: Sequence[Moved]) -> None:
    """At no point is a destination above the load guard."""
    size = {(one.segment_id, one.node_id): one.memory_bytes for one in world.heat.segments}
    used = {one.node_id: one.resident_memory_bytes.value or 0.0 for one in world.snapshot.query_nodes}
    limit = {one.node_id: one.memory_limit_bytes or 0 for one in world.snapshot.query_nodes}
    for moved in moves:
        bytes_ = size[moved.segment.segment_id, moved.source]
        used[moved.destination] += bytes_
        assert used[moved.destination] <= limit[moved.destination] * GUARD * (1 + 1e-9)
        used[moved.source] -= bytes_


def assert_neutral(world: World, moves: Sequence[Moved]) -> None:
    """Each node has as many rows as before, but for the tolerance."""
    rows: defaultdict[int, int] = defaultdict(int)
    change: defaultdict[int, int] = defaultdict(int)
    for one in world.heat.segments:
        rows[one.node_id] += one.rows
    for moved in moves:
        change[moved.source] -= moved.segment.rows
        change[moved.destination] += moved.segment.rows
    assert all(abs(change[at]) <= ROWS_TOLERANCE * rows[at] for at in change)


@given(worlds(coldest=True))
@settings(max_examples=40)
def test_a_cold_skew_moves_nothing_but_to_a_new_node(world: World) -> None:
    """Whatever the spread, the busiest node is at a fifth of its CPU at most."""
    found = world.decide()
    assert found.reason in {Reason.STEADY, Reason.NEW_NODE}
    assert found.reason is Reason.NEW_NODE or found.steps == ()


@given(worlds(), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_the_order_in_which_facts_arrive_decides_nothing(world: World, random: Random) -> None:
    def shuffled(many: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(many, len(many)))

    facts, heat = world.snapshot, world.heat
    other = replace(
        facts,
        query_nodes=shuffled(facts.query_nodes),
        collections=shuffled(facts.collections),
        replicas=tuple(replace(one, node_ids=shuffled(one.node_ids)) for one in shuffled(facts.replicas)),
        segments=tuple(replace(one, node_ids=shuffled(one.node_ids)) for one in shuffled(facts.segments)),
        resource_groups=shuffled(facts.resource_groups),
    )
    warmth = replace(heat, segments=shuffled(heat.segments), nodes=shuffled(heat.nodes))
    assert world.decide(other, warmth) == world.decide()
