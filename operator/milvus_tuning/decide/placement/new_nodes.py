"""Which QueryNodes wait to be filled where Milvus's balancer is off and nobody else fills them, and with what.

    even share of a node = sum over its replicas: rows of the replica / members that it has
    new                  = it serves no segment of its replicas, or in its first hour
                           rows on it < even share x (1 - imbalance allowed)

Three nodes with 40,000 rows each and a fourth that came five minutes ago: its even share is 30,000, and with 20 %
allowed it is filled until it has 24,000.

Segments go one by one from the most loaded node that can give one, the one that leaves both nodes lowest, while the
giver ends lower than it was and the new node does not end as high. So nothing moves but to new nodes, and no more than
an even spread takes: of 2, 2 and 0 equal segments one moves, since a second would leave 1, 1 and 2.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from milvus_tuning.decide.placement.planner_input import loads
from milvus_tuning.decide.rebalancing import Cluster, Move, Segment
from milvus_tuning.decide.rebalancing.model import Identity
from milvus_tuning.snapshot import QueryNode, SegmentState, Snapshot
from milvus_tuning.snapshot import Segment as ServedSegment

NEW_FOR = timedelta(hours=1)
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class NewNode:
    """A QueryNode with less than its share of the rows of its replicas."""

    node: QueryNode
    node_id: int
    rows: int
    even_rows: float


def new_nodes(snapshot: Snapshot, now: datetime, *, imbalance_ratio: float) -> tuple[NewNode, ...]:
    """The members that wait to be filled, by name; none of those of which the Milvus node is not known."""
    rows, even_rows = _rows(snapshot)
    found = (
        NewNode(
            node=node,
            node_id=node.node_id,
            rows=sum(rows.get(node.node_id, ())),
            even_rows=math.fsum(sorted(even_rows.get(node.node_id, ()))),
        )
        for node in sorted(snapshot.members, key=lambda node: node.pod)
        if node.node_id is not None
    )
    return tuple(one for one in found if _waits(one, now, imbalance_ratio))


def _waits(one: NewNode, now: datetime, imbalance_ratio: float) -> bool:
    if one.even_rows <= 0:
        return False
    born = one.node.created_at
    young = born is not None and now - born < NEW_FOR
    return one.rows == 0 or (young and one.rows < one.even_rows * (1 - imbalance_ratio))


def _rows(snapshot: Snapshot) -> tuple[dict[int, list[int]], dict[int, list[float]]]:
    """For each Milvus node, replica by replica, the sealed rows that it serves and its even share of them."""
    sealed: defaultdict[int, list[ServedSegment]] = defaultdict(list)
    for segment in snapshot.segments:
        if segment.state is SegmentState.SEALED:
            sealed[segment.collection_id].append(segment)
    members = {node.node_id for node in snapshot.members}
    rows: defaultdict[int, list[int]] = defaultdict(list)
    even_rows: defaultdict[int, list[float]] = defaultdict(list)
    for replica in snapshot.replicas:
        inside, staying = set(replica.node_ids), members.intersection(replica.node_ids)
        held: Counter[int] = Counter()
        for segment in sealed[replica.collection_id]:
            held.update(dict.fromkeys(inside.intersection(segment.node_ids), segment.rows))
        for node_id in inside.intersection(staying):
            rows[node_id].append(held[node_id])
            even_rows[node_id].append(held.total() / len(staying))
    return rows, even_rows


def fill(cluster: Cluster, weighed: Cluster, *, most: int) -> tuple[Move, ...]:
    """Moves to the nodes that take segments in, here the new ones; at most so many.

    weighed is the same cluster with the weights that are evened out (see `planner_input.filling`). By its heat in
    `cluster` no new node gets busier than the busiest node is.
    """
    state, moves = _Filling(cluster, weighed), list[Move]()
    while len(moves) < most and (move := state.best()) is not None:
        state.make(move)
        moves.append(move)
    return tuple(moves)


class _Filling:
    """A placement under change; weight, used bytes and segments of each node, and the cores that a new one has left."""

    def __init__(self, cluster: Cluster, weighed: Cluster) -> None:
        before = loads(cluster)
        busiest = max(before.values(), default=0.0) * (1 + _ROUNDING)
        self._cores = {(one.id, one.node): one.heat for one in cluster.segments}
        self._cores_left = {node.id: (busiest - before[node.id]) * node.cpu for node in cluster.nodes}
        self._cpu = {node.id: node.cpu for node in cluster.nodes}
        self._ceiling = {node.id: node.memory_bytes * cluster.limits.memory_ceiling_ratio for node in cluster.nodes}
        self._takers = sorted((node.id for node in weighed.nodes if not node.cordoned), key=str)
        self._nodes_of = {(one.collection, one.id): frozenset(one.nodes) for one in cluster.replicas}
        self._held: dict[Identity, dict[Identity, Segment]] = {node.id: {} for node in cluster.nodes}
        self._weight = dict.fromkeys(self._held, 0.0)
        self._used = dict.fromkeys(self._held, 0)
        for segment in sorted(weighed.segments, key=lambda one: str(one.id)):
            self._put(segment, segment.node)

    def best(self) -> Move | None:
        """The next move; None where none is left that evens out."""
        givers = [node_id for node_id in self._held if node_id not in self._takers]
        for source in sorted(givers, key=lambda one: (-self._weight[one] / self._cpu[one], str(one))):
            found = min(self._moves_from(source), default=None)
            if found is not None:
                _, _, segment, destination = found
                return Move(segment=int(segment), source=source, destination=int(destination))
        return None

    def make(self, move: Move) -> None:
        """Carry the move out."""
        segment = self._held[move.source].pop(move.segment)
        self._weight[move.source] -= segment.heat
        self._used[move.source] -= segment.memory_bytes
        self._cores_left[move.destination] -= self._cores[move.segment, move.source]
        self._put(segment, move.destination)

    def _moves_from(self, source: Identity) -> Iterator[tuple[float, int, int, int]]:
        """Moves that even out, by the load that they leave and the bytes that they take."""
        before = self._weight[source] / self._cpu[source]
        for segment in self._held[source].values():
            left = (self._weight[source] - segment.heat) / self._cpu[source]
            for to in self._takers:
                if segment.pinned or to not in self._nodes_of[segment.collection, segment.replica or 0]:
                    continue
                if self._used[to] + segment.memory_bytes > self._ceiling[to]:
                    continue
                if self._cores[segment.id, source] > self._cores_left[to]:
                    continue
                there = (self._weight[to] + segment.heat) / self._cpu[to]
                if max(left, there) < before * (1 - _ROUNDING):
                    yield max(left, there), segment.memory_bytes, int(segment.id), int(to)

    def _put(self, segment: Segment, node_id: Identity) -> None:
        self._held[node_id][segment.id] = segment
        self._weight[node_id] += segment.heat
        self._used[node_id] += segment.memory_bytes
