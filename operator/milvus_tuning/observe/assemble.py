"""From the readings of the sources to one Snapshot. Pure: no client, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from milvus_tuning.clients.milvus import MilvusNode
from milvus_tuning.observe.activity import failover_freezes
from milvus_tuning.observe.etcd import EtcdFacts
from milvus_tuning.observe.identity import identity_problems, node_ids_by_pod
from milvus_tuning.observe.milvus import MilvusFacts, query_nodes
from milvus_tuning.observe.prometheus import Measurements, NodeMeasures
from milvus_tuning.observe.target import Target
from milvus_tuning.snapshot import Collection, NodeSearches, Problem, QueryNode, ReadBack, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """What the sources gave in one pass. said_by_pod: node ids by pod, as the pods' own metrics have them."""

    target: Target
    milvus: MilvusFacts = field(default_factory=MilvusFacts)
    metrics: Measurements = field(default_factory=Measurements)
    etcd: EtcdFacts = field(default_factory=EtcdFacts)
    said_by_pod: Mapping[str, frozenset[int]] = field(default_factory=dict)
    read_back: tuple[ReadBack, ...] = ()
    problems: tuple[Problem, ...] = ()


def assemble(readings: Readings, taken_at: datetime) -> Snapshot:
    """The snapshot of one pass."""
    target, milvus = readings.target, readings.milvus
    nodes = registered_nodes(milvus, readings.etcd)
    ids = node_ids_by_pod(target.query_nodes, nodes, readings.said_by_pod)
    unknown = identity_problems(target.query_nodes, nodes, readings.said_by_pod) if milvus.nodes is not None else ()
    return Snapshot(
        taken_at=taken_at,
        workload=replace(
            target.workload, serving_count=None if milvus.nodes is None else _serving_count(target, nodes)
        ),
        scheduling=target.scheduling,
        milvus_version=milvus.version,
        query_nodes=_query_nodes(readings, nodes, ids),
        collections=_collections(readings),
        replicas=milvus.replicas,
        segments=milvus.segments,
        placement_coverage=milvus.coverage,
        node_searches=_node_searches(readings, ids),
        resource_groups=milvus.resource_groups,
        traffic=readings.metrics.traffic,
        settings=readings.etcd.settings,
        settings_readable=readings.etcd.root_path is not None,
        owned_keys=readings.etcd.owned_keys,
        owned_levels=readings.etcd.owned_levels,
        etcd_root_path=readings.etcd.root_path,
        resource_config=target.resource_config,
        components=target.components,
        read_back=readings.read_back,
        install_config=target.install_config,
        environment_config=target.environment_config,
        link_bits_per_second=readings.metrics.link_bits_per_second,
        network_share=readings.metrics.network_share,
        freezes=(
            *target.freezes,
            *failover_freezes(target.coordinators_started, taken_at),
            *milvus.freezes,
            *readings.metrics.freezes,
        ),
        problems=(
            *target.problems,
            *readings.problems,
            *milvus.problems,
            *readings.metrics.problems,
            *readings.etcd.problems,
            *unknown,
        ),
    )


def registered_nodes(milvus: MilvusFacts, etcd: EtcdFacts) -> tuple[MilvusNode, ...]:
    """The QueryNodes that Milvus counts: by their sessions in etcd, else by system_info, of which a proxy keeps a copy.

    The number of cores is in system_info only; a node that is in the sessions alone has none yet.
    """
    known = query_nodes(milvus.nodes or ())
    if etcd.sessions is None:
        return known
    cores = {node.node_id: node.cpu_core_count for node in known}
    return tuple(replace(session, cpu_core_count=cores.get(session.node_id)) for session in etcd.sessions)


def _serving_count(target: Target, nodes: tuple[MilvusNode, ...]) -> int:
    """Those on pods of the target that stay; the QueryNodes inside StreamingNodes fall away."""
    staying = {node.ip for node in target.query_nodes if not node.terminating}
    return len({node.ip for node in nodes} & staying)


def _query_nodes(readings: Readings, nodes: tuple[MilvusNode, ...], ids: Mapping[str, int]) -> tuple[QueryNode, ...]:
    cores = {node.node_id: node.cpu_core_count for node in nodes}
    return tuple(
        _measured(pod, ids.get(pod.pod), readings.metrics.nodes.get(pod.pod, NodeMeasures()), cores)
        for pod in readings.target.query_nodes
    )


def _measured(
    pod: QueryNode, node_id: int | None, measures: NodeMeasures, cores: Mapping[int, int | None]
) -> QueryNode:
    return replace(
        pod,
        node_id=node_id,
        resident_memory_bytes=measures.resident_memory_bytes,
        loaded_bytes=measures.loaded_bytes,
        cpu_cores=measures.cpu_cores,
        read_concurrency=measures.read_concurrency,
        queue_latency_milliseconds=measures.queue_latency_milliseconds,
        read_concurrency_cap=None if node_id is None else cores.get(node_id),
    )


def _collections(readings: Readings) -> tuple[Collection, ...]:
    found = readings.milvus.collections
    names = Counter(collection.name for collection in found)
    return tuple(
        replace(
            collection,
            searches_per_second=readings.metrics.collection(
                collection.database, collection.name, unique=names[collection.name] == 1
            ),
        )
        for collection in found
    )


def _node_searches(readings: Readings, ids: Mapping[str, int]) -> tuple[NodeSearches, ...]:
    """Those of pods whose Milvus node is known and of collections that are loaded, in the order of both ids."""
    loaded = {collection.collection_id for collection in readings.milvus.collections}
    found = (
        NodeSearches(node_id=ids[pod], collection_id=collection_id, searches_per_second=sample)
        for (pod, collection_id), sample in readings.metrics.node_searches.items()
        if pod in ids and collection_id in loaded
    )
    return tuple(sorted(found, key=lambda one: (one.node_id, one.collection_id)))
