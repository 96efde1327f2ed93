"""Which QueryNodes wait to be filled where Milvus's balancer is off and nobody else fills them.

    even share of a node = sum over its replicas: rows of the replica / members that it has
    new                  = it serves no segment of its replicas, or in its first hour
                           rows on it < even share x (1 - imbalance allowed)

Three nodes with 40,000 rows each and a fourth that came five minutes ago: its even share is 30,000, and with 20 %
allowed it is filled until it has 24,000.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from milvus_tuning.snapshot import QueryNode, Segment, SegmentState, Snapshot

NEW_FOR = timedelta(hours=1)


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
    sealed: defaultdict[int, list[Segment]] = defaultdict(list)
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
