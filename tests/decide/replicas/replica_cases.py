"""The usual case of the tests about in-memory replicas: a hot collection on three nodes, and a cold one beside it.

products (id 100) has six segments and, unless a test says otherwise, most of the heat; archive (id 200) has three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide.heat.model import CollectionHeat, HeatMap, SegmentHeat
from milvus_tuning.decide.replicas.number import decide_replicas
from milvus_tuning.plan import Decision, Outlook, Rejection, StepKind
from milvus_tuning.snapshot import Collection, QueryNode, Replica, Segment, Snapshot
from tests.builders import GIB, NOON, a_history, a_snapshot, a_spec, some_nodes

PRODUCTS = Collection(collection_id=100, name="products")
ARCHIVE = Collection(collection_id=200, name="archive", database="old")
LIVE = "2.5.4"
SEGMENTS = {100: 6, 200: 3}
GROUP = "__default_resource_group"


def a_cluster(
    nodes: int | Sequence[QueryNode] = 3,
    *,
    cpu: float | None = 0.75,
    memory: float | None = 0.3,
    loaded: float | None = None,
    copies: Mapping[int, int] | None = None,
    version: str = LIVE,
    groups: Mapping[int, str] | None = None,
    **changes: Any,
) -> Snapshot:
    """Members with these loads, and so many copies of each collection; groups: resource group by replica number."""
    members = some_nodes(nodes, cpu=cpu, memory=memory, loaded=loaded) if isinstance(nodes, int) else tuple(nodes)
    numbers = {100: 1, 200: 1, **(copies or {})}
    replicas = tuple(
        replica
        for collection_id, count in numbers.items()
        for replica in _replicas(members, collection_id, count, groups)
    )
    snapshot = a_snapshot(members, milvus_version=version)
    return replace(
        snapshot,
        collections=(PRODUCTS, ARCHIVE),
        replicas=replicas,
        segments=tuple(segment for collection_id in numbers for segment in _segments(replicas, collection_id)),
        **changes,
    )


def a_heat(
    snapshot: Snapshot, *, share: float = 0.8, copy_gib: float = 0.75, at: datetime = NOON, **changes: Any
) -> HeatMap:
    """The heat of such a cluster: products makes this share of 3 cores, and a copy of each takes so much memory."""
    shares = {100: share, 200: 1 - share}
    heat = HeatMap(
        at=at,
        segments=tuple(_segment_heats(snapshot, shares, copy_gib)),
        collections=tuple(
            CollectionHeat(
                collection_id=one.collection_id,
                database=one.database,
                name=one.name,
                searches_per_second=10.0,
                cores=3 * shares[one.collection_id],
                share_ratio=shares[one.collection_id],
                replicas=sum(1 for replica in snapshot.replicas if replica.collection_id == one.collection_id),
                segments=SEGMENTS[one.collection_id],
                busiest_node_id=None,
            )
            for one in snapshot.collections
        ),
        error_ratio=0.1,
    )
    return replace(heat, **changes)


def a_policy(
    *, nodes: Mapping[str, Any] | None = None, replicas: Mapping[str, Any] | None = None, **changes: Any
) -> MilvusTuningSpec:
    """A policy that declares in-memory replicas (1 to 3), and QueryNodes only where nodes are given."""
    spec = a_spec(in_memory_replicas={"max_count": 3, **(replicas or {})}, query_nodes=nodes, **changes)
    return spec if nodes is not None else spec.model_copy(update={"query_nodes": None})


def decide_lasting(
    snapshot: Snapshot,
    spec: MilvusTuningSpec | None = None,
    heat: HeatMap | None = None,
    *,
    rebalance: Outlook | Rejection | None = None,
    **history: Any,
) -> Decision:
    """Decide after the cluster has looked like this for an hour (or for lasting_seconds)."""
    decision = decide_replicas(
        spec or a_policy(),
        snapshot,
        heat or a_heat(snapshot),
        a_history(snapshot, **history),
        NOON,
        rebalance=rebalance,
    )
    assert decision is not None
    return decision


def counts(decision: Decision) -> tuple[str, int, int] | None:
    """(collection, before, after) of the step, None without one."""
    if not decision.steps:
        return None
    (step,) = decision.steps
    assert step.kind is StepKind.SET_REPLICA_NUMBER
    return str(step.action["collection"]), int(step.precondition["count"] or 0), int(step.action["count"] or 0)


def _replicas(
    members: Sequence[QueryNode], collection_id: int, count: int, groups: Mapping[int, str] | None
) -> tuple[Replica, ...]:
    ids = [node.node_id for node in members if node.node_id is not None]
    return tuple(
        Replica(
            replica_id=10 * collection_id + number,
            collection_id=collection_id,
            node_ids=tuple(ids[number::count]),
            resource_group=(groups or {}).get(number, GROUP),
        )
        for number in range(count)
    )


def _segments(replicas: Sequence[Replica], collection_id: int) -> tuple[Segment, ...]:
    mine = [replica for replica in replicas if replica.collection_id == collection_id and replica.node_ids]
    return tuple(
        Segment(
            segment_id=1000 * collection_id + number,
            collection_id=collection_id,
            rows=10_000,
            node_ids=tuple(replica.node_ids[number % len(replica.node_ids)] for replica in mine),
        )
        for number in range(SEGMENTS[collection_id])
    )


def _segment_heats(snapshot: Snapshot, shares: Mapping[int, float], copy_gib: float) -> list[SegmentHeat]:
    found = []
    for segment in snapshot.segments:
        count = SEGMENTS[segment.collection_id]
        mine = [replica for replica in snapshot.replicas if replica.collection_id == segment.collection_id]
        for replica, node_id in zip(mine, segment.node_ids, strict=False):
            found.append(
                SegmentHeat(
                    segment_id=segment.segment_id,
                    collection_id=segment.collection_id,
                    replica_id=replica.replica_id,
                    node_id=node_id,
                    rows=segment.rows,
                    memory_bytes=round(copy_gib * GIB / count),
                    cores=3 * shares[segment.collection_id] / count / len(mine),
                )
            )
    return found
