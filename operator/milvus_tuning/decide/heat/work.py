"""The work that searching is: cost per second of every segment copy, and of every QueryNode.

    work of a copy = searches per second of its replica x cost of one search of it
    work of a node = sum over its sealed copies (can be moved)
                   + growing segments + searches led x cost of leading (stay)

A copy belongs to the replica of its collection that has the node.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from milvus_tuning.decide.heat.cost import LEADER_COST, SearchCost, search_cost
from milvus_tuning.decide.heat.rates import Rates
from milvus_tuning.snapshot import Collection, Segment, SegmentState, Snapshot

MEMORY_PER_VECTOR_BYTE = 1.2  # index links, bitmaps and allocation on top of the vectors
FLOAT_BYTES = 4


Copy = tuple[int, int, int, int, int, int, float]
"""A copy of a sealed segment: segment, collection, replica and node id, rows, memory in bytes, cost per second. A bare
tuple, because there are a hundred thousand of them."""


@dataclass(kw_only=True, slots=True)
class Work:
    """What is known about the work. unknown_nodes hold something whose rate is unknown: their sum is too low."""

    copies: list[Copy] = field(default_factory=list)
    movable: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))  # by node id
    fixed: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    collections: defaultdict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))
    segments: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))  # sealed, by collection
    unknown_nodes: set[int] = field(default_factory=set)
    gaps: list[str] = field(default_factory=list)

    def of_node(self, node_id: int) -> float:
        """All work of a QueryNode."""
        return self.movable.get(node_id, 0.0) + self.fixed.get(node_id, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """What the segments of one collection share."""

    name: str
    cost: SearchCost
    bytes_per_row: float
    replica_of: Mapping[int, int]  # replica id by node id
    only_replica: int | None  # a copy on a node of no replica is of this one: there is no other
    rates: Mapping[int, float]  # by replica id


def search_work(snapshot: Snapshot, rates: Rates) -> Work:
    """The work of all copies and nodes, summed in the order of the ids so that the same facts give the same figures."""
    work = Work()
    places = _places(snapshot, rates)
    homeless: defaultdict[str, int] = defaultdict(int)
    for segment in sorted(snapshot.segments, key=lambda one: (one.collection_id, one.segment_id)):
        place = places.get(segment.collection_id)
        if place is None:
            homeless[f"collection {segment.collection_id}"] += 1
        elif segment.state is SegmentState.GROWING:
            homeless[place.name] += _add_growing(work, segment, place)
        else:
            homeless[place.name] += _add_sealed(work, segment, place)
    _add_leaders(work, snapshot, rates)
    work.gaps += [f"{name}: {count} segments on QueryNodes of no replica" for name, count in homeless.items() if count]
    return work


def _add_sealed(work: Work, segment: Segment, place: _Place) -> int:
    """Add the copies of a sealed segment; the answer is how many belong to no replica."""
    cost = place.cost.sealed(segment.rows)
    memory = segment.memory_bytes if segment.memory_bytes is not None else round(segment.rows * place.bytes_per_row)
    work.segments[segment.collection_id] += 1
    collection_id, segment_id, homeless = segment.collection_id, segment.segment_id, 0
    for node_id in sorted(segment.node_ids):
        replica_id = place.replica_of.get(node_id, place.only_replica)
        rate = None if replica_id is None else place.rates.get(replica_id)
        homeless += replica_id is None
        if replica_id is None or rate is None:
            work.unknown_nodes.add(node_id)
            continue
        done = rate * cost
        work.copies.append((segment_id, collection_id, replica_id, node_id, segment.rows, memory, done))
        work.movable[node_id] += done
        work.collections[collection_id, node_id] += done
    return homeless


def _add_growing(work: Work, segment: Segment, place: _Place) -> int:
    """Add a growing segment to what stays on its nodes; the answer is how many copies belong to no replica."""
    cost = place.cost.growing(segment.rows)
    homeless = 0
    for node_id in sorted(segment.node_ids):
        replica_id = place.replica_of.get(node_id, place.only_replica)
        rate = None if replica_id is None else place.rates.get(replica_id)
        homeless += replica_id is None
        if rate is None:
            work.unknown_nodes.add(node_id)
            continue
        work.fixed[node_id] += rate * cost
        work.collections[segment.collection_id, node_id] += rate * cost
    return homeless


def _add_leaders(work: Work, snapshot: Snapshot, rates: Rates) -> None:
    for replica in sorted(snapshot.replicas, key=lambda one: (one.collection_id, one.replica_id)):
        rate = rates.by_replica.get((replica.collection_id, replica.replica_id))
        for _, node_id in sorted(replica.leaders):
            if rate is None:
                work.unknown_nodes.add(node_id)
                continue
            work.fixed[node_id] += rate * LEADER_COST
            work.collections[replica.collection_id, node_id] += rate * LEADER_COST


def _places(snapshot: Snapshot, rates: Rates) -> dict[int, _Place]:
    replica_of: defaultdict[int, dict[int, int]] = defaultdict(dict)
    replicas: defaultdict[int, list[int]] = defaultdict(list)
    for replica in sorted(snapshot.replicas, key=lambda one: (one.collection_id, one.replica_id)):
        replicas[replica.collection_id].append(replica.replica_id)
        for node_id in replica.node_ids:
            replica_of[replica.collection_id].setdefault(node_id, replica.replica_id)
    by_collection: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for (collection_id, replica_id), rate in rates.by_replica.items():
        by_collection[collection_id][replica_id] = rate
    dimension = mean_dimension(snapshot.collections)
    usual_bytes = _usual_bytes_per_row(snapshot.collections, dimension)
    return {
        one.collection_id: _Place(
            name=one.full_name,
            cost=search_cost(one.shape, mean_dimension=dimension),
            bytes_per_row=one.shape.vector_bytes * MEMORY_PER_VECTOR_BYTE if one.shape else usual_bytes,
            replica_of=replica_of[one.collection_id],
            only_replica=replicas[one.collection_id][0] if len(replicas[one.collection_id]) == 1 else None,
            rates=by_collection[one.collection_id],
        )
        for one in snapshot.collections
    }


def mean_dimension(collections: Sequence[Collection]) -> float:
    """The mean dimension of the collections whose shape is known, 1 where none is."""
    known = [one.shape.dimension for one in collections if one.shape is not None]
    return math.fsum(known) / len(known) if known else 1.0


def _usual_bytes_per_row(collections: Sequence[Collection], dimension: float) -> float:
    known = [one.shape.vector_bytes for one in collections if one.shape is not None]
    vector_bytes = math.fsum(known) / len(known) if known else dimension * FLOAT_BYTES
    return vector_bytes * MEMORY_PER_VECTOR_BYTE
