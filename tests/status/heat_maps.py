"""Heat maps for tests: a few collections over a few QueryNodes, or any that a property asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from milvus_tuning.decide.heat import CollectionHeat, HeatMap, NodeHeat, SegmentHeat
from milvus_tuning.snapshot import Collection, QueryNode, ResourceGroup, Snapshot

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def a_collection(
    number: int = 1, *, cores: float = 0.12, share: float = 0.5, name: str | None = None, database: str = "default"
) -> CollectionHeat:
    return CollectionHeat(
        collection_id=number,
        database=database,
        name=name or f"collection-{number}",
        searches_per_second=12.4,
        cores=cores,
        share_ratio=share,
        replicas=1,
        segments=8,
        busiest_node_id=1,
    )


def a_segment(number: int = 1, *, cores: float = 0.03, node: int = 1, collection: int = 1) -> SegmentHeat:
    return SegmentHeat(
        segment_id=number,
        collection_id=collection,
        replica_id=1,
        node_id=node,
        rows=5000,
        memory_bytes=2**20,
        cores=cores,
    )


def a_node(number: int = 1, *, expected: float = 0.15, limit: float | None = 0.3, pod: str | None = None) -> NodeHeat:
    return NodeHeat(
        pod=pod or f"qn-{number}",
        node_id=number,
        cpu_limit_cores=limit,
        expected_cores=expected,
        measured_cores=expected,
    )


def a_map(
    *,
    collections: Sequence[CollectionHeat] = (a_collection(),),
    segments: Sequence[SegmentHeat] = (a_segment(),),
    nodes: Sequence[NodeHeat] = (a_node(1, expected=0.2), a_node(2, expected=0.1)),
    error: float | None = 0.12,
    gaps: tuple[str, ...] = (),
) -> HeatMap:
    return HeatMap(
        at=NOW,
        collections=tuple(collections),
        segments=tuple(segments),
        nodes=tuple(nodes),
        error_ratio=error,
        gaps=gaps,
    )


def a_snapshot(heat: HeatMap, *, groups: Sequence[ResourceGroup] = ()) -> Snapshot:
    """The cluster that a heat map is about."""
    nodes = [QueryNode(pod=node.pod, pod_uid=node.pod, node_id=node.node_id, ip="10.0.0.1") for node in heat.nodes]
    collections = [
        Collection(collection_id=one.collection_id, name=one.name, database=one.database) for one in heat.collections
    ]
    return Snapshot(
        taken_at=NOW, query_nodes=tuple(nodes), collections=tuple(collections), resource_groups=tuple(groups)
    )


def with_cores(heat: HeatMap, cores: Sequence[float]) -> HeatMap:
    """The map with other heat, collection by collection and segment by segment; node heat and shares follow."""
    total = sum(cores) or 1.0
    return replace(
        heat,
        collections=tuple(
            replace(one, cores=own, share_ratio=own / total) for one, own in zip(heat.collections, cores, strict=True)
        ),
        segments=tuple(replace(one, cores=own) for one, own in zip(heat.segments, cores, strict=True)),
    )
