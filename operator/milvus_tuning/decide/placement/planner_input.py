"""From a snapshot and its heat to the planner's cluster, and from the planner's moves back to segments and nodes.

    cpu of a node        its limit in cores; the load of a node is then its expected CPU over its limit
    fixed load           what the model expects of a node beyond the segments that are listed here (no searches, shard
                         leaders, growing segments), so that the loads add up to what it expects
    memory of a node     limit - (used - segments listed) / ceiling: with what it holds otherwise, the planner's own
                         bound "segments <= memory x ceiling" is the load guard "used <= limit x ceiling"

Example: limit 8 GiB, guard 90 %, 5 GiB used, 3 GiB of it in listed segments: memory 8 - 2 / 0.9 = 5.78 GiB, and up to
0.9 x 5.78 = 5.2 GiB of segments may be there, 7.2 GiB with the other 2. Segments that are estimated larger than what
is used (mapped files are not resident) have the room that the guard leaves by what is used, all the same.

Only nodes that can exchange segments with the node in question are in the cluster: its resource group, joined by
replicas. A group of idle nodes would otherwise use up the moves. A segment that must not move is pinned: of an excluded
or partly loaded collection, on a node that is leaving, or served twice in one replica. A node whose memory is not known
takes nothing in.
"""

from __future__ import annotations

import math
from collections.abc import Collection as Several
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from milvus_tuning.decide.heat.model import HeatMap, SegmentHeat
from milvus_tuning.decide.load import ClusterLoad
from milvus_tuning.decide.rebalancing import Cluster, Leader, Limits, Move, Node, Segment
from milvus_tuning.decide.rebalancing import Replica as ReplicaNodes
from milvus_tuning.decide.rebalancing.model import DEFAULT_RESOURCE_GROUP, Identity
from milvus_tuning.snapshot import QueryNode, SegmentState, Snapshot

LEAST_CEILING_RATIO = 0.01  # a stored guard of 0 is a mistake that nothing fits under
_IDLE_RATIO = 0.01  # of all CPU limits; below it the shares of the segments are noise


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a cluster of the planner is made from.

    ceiling_ratio: memory use above which a node refuses to load; excluded: full names of collections that stay.
    """

    snapshot: Snapshot
    heat: HeatMap
    load: ClusterLoad
    ceiling_ratio: float
    excluded: frozenset[str] = frozenset()


def planner_input(facts: Facts, *, around: int, max_moves: int) -> Cluster:
    """The part of the cluster in which the node `around` can exchange segments, with its heat in cores."""
    ceiling_ratio = max(LEAST_CEILING_RATIO, facts.ceiling_ratio)
    replicas = _exchanging(_planned_replicas(facts.snapshot), around)
    inside = {around}.union(*(replica.nodes for replica in replicas))
    nodes = [node for node in _known_nodes(facts.snapshot) if node.node_id in inside]
    copies = list(_copies(facts, replicas))
    groups = resource_groups(facts.snapshot)
    used = {load.pod: load.used_bytes for load in facts.load.nodes}
    return Cluster(
        nodes=tuple(_node(node, groups, used.get(node.pod), copies, ceiling_ratio) for node in nodes),
        segments=tuple(copies),
        replicas=tuple(replicas),
        leaders=tuple(_fixed(facts.heat, nodes, copies)),
        limits=Limits(max_moves=max_moves, memory_ceiling_ratio=ceiling_ratio),
    )


def filling(cluster: Cluster, nodes: Several[int]) -> Cluster:
    """The same cluster with these nodes alone taking segments in, each segment weighed by rows and by heat.

    The weight is the greater of its shares of all rows and of all heat: rows are the floor, so that memory evens out
    too. Where the whole is idle, rows alone count. What is fixed on the nodes is left out: nobody can move it.
    """
    cores, rows = math.fsum(one.heat for one in cluster.segments), sum(one.rows for one in cluster.segments)
    busy = cores >= _IDLE_RATIO * math.fsum(node.cpu for node in cluster.nodes)

    def weight(segment: Segment) -> float:
        by_rows = segment.rows / rows if rows else 0.0
        return max(by_rows, segment.heat / cores) if busy and cores > 0 else by_rows

    return replace(
        cluster,
        nodes=tuple(replace(node, cordoned=node.cordoned or node.id not in nodes) for node in cluster.nodes),
        segments=tuple(replace(segment, heat=weight(segment)) for segment in cluster.segments),
        leaders=(),
    )


def resource_groups(snapshot: Snapshot) -> Mapping[int, str]:
    """The resource group of each Milvus node: as listed, else that of the first replica that has the node."""
    found: dict[int, str] = {}
    for group in sorted(snapshot.resource_groups, key=lambda one: one.name):
        for node_id in group.node_ids:
            found.setdefault(node_id, group.name)
    for replica in sorted(snapshot.replicas, key=lambda one: (one.collection_id, one.replica_id)):
        for node_id in replica.node_ids:
            found.setdefault(node_id, replica.resource_group)
    return found


def loads(cluster: Cluster, moves: Iterable[Move] = ()) -> Mapping[Identity, float]:
    """The load of each node (1.0 is its whole CPU limit) once these moves are made."""
    heat = {(segment.id, segment.node): segment.heat for segment in cluster.segments}
    for move in moves:
        heat[move.segment, move.destination] = heat.pop((move.segment, move.source))
    on_node: dict[Identity, list[float]] = {node.id: [] for node in cluster.nodes}
    for (_, node_id), cores in heat.items():
        on_node[node_id].append(cores)
    fixed: dict[Identity, float] = {leader.node: leader.load for leader in cluster.leaders}
    return {
        node.id: fixed.get(node.id, 0.0) + math.fsum(sorted(on_node[node.id])) / node.cpu
        for node in sorted(cluster.nodes, key=lambda one: str(one.id))
    }


def moved(cluster: Cluster, moves: Iterable[Move]) -> tuple[Segment, ...]:
    """The segments that the moves carry, one for each move, where they started."""
    by_id = {(segment.id, segment.node): segment for segment in cluster.segments}
    found = []
    for move in moves:
        segment = by_id.pop((move.segment, move.source))
        by_id[move.segment, move.destination] = segment
        found.append(segment)
    return tuple(found)


def in_runs(cluster: Cluster, moves: Sequence[Move]) -> tuple[Move, ...]:
    """The moves with those of one collection, source and destination together, where memory allows that order.

    A run of such moves is one step of a plan. Where a node would be above its ceiling in between, or a segment moves
    twice, the order stays as it is.
    """
    collections = {segment.id: segment.collection for segment in cluster.segments}
    first: dict[tuple[object, ...], int] = {}
    for at, move in enumerate(moves):
        first.setdefault((collections[move.segment], move.source, move.destination), at)
    ordered = tuple(sorted(moves, key=lambda move: first[collections[move.segment], move.source, move.destination]))
    once = len({move.segment for move in moves}) == len(moves)
    return ordered if once and _fits_in_order(cluster, ordered) else tuple(moves)


def _fits_in_order(cluster: Cluster, moves: Iterable[Move]) -> bool:
    """Whether each move finds memory on its destination, on top of all that is there at that moment."""
    sizes = {(segment.id, segment.node): segment.memory_bytes for segment in cluster.segments}
    ceilings = {node.id: node.memory_bytes * cluster.limits.memory_ceiling_ratio for node in cluster.nodes}
    used: dict[Identity, int] = dict.fromkeys(ceilings, 0)
    for (_, node_id), size in sizes.items():
        used[node_id] += size
    for move in moves:
        size = sizes[move.segment, move.source]
        used[move.destination] += size
        if used[move.destination] > ceilings[move.destination]:
            return False
        used[move.source] -= size
    return True


def _known_nodes(snapshot: Snapshot) -> Iterator[QueryNode]:
    """The QueryNodes that the planner can reason about: one Milvus node each, with a CPU limit. In order of ids."""
    known = [node for node in snapshot.query_nodes if node.node_id is not None and node.cpu_limit_cores]
    yield from sorted(known, key=lambda node: (node.node_id or 0, node.pod))


def _planned_replicas(snapshot: Snapshot) -> list[ReplicaNodes]:
    """The replicas with those of their nodes that are known and in the replica's resource group, in order of ids."""
    known, groups = {node.node_id for node in _known_nodes(snapshot)}, resource_groups(snapshot)
    return [
        ReplicaNodes(
            id=replica.replica_id,
            collection=replica.collection_id,
            nodes=tuple(
                sorted(
                    node_id
                    for node_id in set(replica.node_ids)
                    if node_id in known and groups[node_id] == replica.resource_group
                )
            ),
        )
        for replica in sorted(snapshot.replicas, key=lambda one: (one.collection_id, one.replica_id))
    ]


def _exchanging(replicas: Iterable[ReplicaNodes], around: int) -> list[ReplicaNodes]:
    """The replicas whose nodes are reached from this one, directly or through other replicas."""
    left, found = [one for one in replicas if one.nodes], []
    reached: set[Identity] = {around}
    while near := [one for one in left if not reached.isdisjoint(one.nodes)]:
        reached.update(*(one.nodes for one in near))
        left = [one for one in left if one not in near]
        found += near
    return sorted(found, key=lambda one: (str(one.collection), str(one.id)))


def _copies(facts: Facts, replicas: Iterable[ReplicaNodes]) -> Iterator[Segment]:
    """One copy of each sealed segment of these replicas on their nodes; a second copy in a replica is left out."""
    snapshot = facts.snapshot
    nodes_of = {(one.collection, one.id): frozenset(one.nodes) for one in replicas}
    all_nodes = {(one.collection_id, one.replica_id): frozenset(one.node_ids) for one in snapshot.replicas}
    served = {one.segment_id: one for one in snapshot.segments if one.state is SegmentState.SEALED}
    movable = _movable_collections(snapshot, facts.excluded)
    staying = {node.node_id for node in snapshot.members}
    seen: set[tuple[int, int]] = set()
    for one in sorted(facts.heat.segments, key=_order):
        own = one.collection_id, one.replica_id
        segment = served.get(one.segment_id)
        if segment is None or one.node_id not in segment.node_ids or one.node_id not in nodes_of.get(own, ()):
            continue
        if (one.segment_id, one.replica_id) in seen:
            continue
        seen.add((one.segment_id, one.replica_id))
        copies = len(all_nodes[own].intersection(segment.node_ids))
        free = one.collection_id in movable and one.node_id in staying and copies == 1
        yield Segment(
            id=one.segment_id,
            collection=one.collection_id,
            replica=one.replica_id,
            node=one.node_id,
            heat=max(0.0, one.cores),
            rows=one.rows,
            memory_bytes=one.memory_bytes,
            pinned=not free,
        )


def _order(one: SegmentHeat) -> tuple[int, int, int]:
    return one.segment_id, one.replica_id, one.node_id


def _movable_collections(snapshot: Snapshot, excluded: frozenset[str]) -> frozenset[int]:
    return frozenset(
        one.collection_id for one in snapshot.collections if one.load_percent >= 100 and one.full_name not in excluded
    )


def _node(
    node: QueryNode, groups: Mapping[int, str], used: float | None, copies: Iterable[Segment], ceiling_ratio: float
) -> Node:
    node_id, limit = node.node_id or 0, node.memory_limit_bytes or 0
    listed = sum(one.memory_bytes for one in copies if one.node == node_id)
    known = used is not None and limit > 0
    beyond = (used or 0.0) - listed
    return Node(
        id=node_id,
        memory_bytes=max(0, math.floor(limit - beyond / ceiling_ratio)),
        cpu=node.cpu_limit_cores or 0.0,
        resource_group=groups.get(node_id, DEFAULT_RESOURCE_GROUP),
        cordoned=not known or not node.ready or node.terminating,
    )


def _fixed(heat: HeatMap, nodes: Iterable[QueryNode], copies: Sequence[Segment]) -> Iterator[Leader]:
    expected = {one.node_id: one.expected_cores for one in heat.nodes}
    for node in nodes:
        node_id = node.node_id or 0
        listed = math.fsum(sorted(one.heat for one in copies if one.node == node_id))
        beyond = expected.get(node_id, 0.0) - listed
        if beyond > 0 and node.cpu_limit_cores:
            yield Leader(node=node_id, load=beyond / node.cpu_limit_cores)
