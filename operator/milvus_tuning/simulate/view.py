"""The snapshot that the real observation would have made of the model cluster, its faults included."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from milvus_tuning.api import MilvusTuningSpec, Verification
from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.config.keys import PLACEMENT_KEY
from milvus_tuning.decide.seen.pods import QUERY_NODE
from milvus_tuning.plan import Measurement
from milvus_tuning.simulate.cluster import ModelCluster, ModelNode
from milvus_tuning.simulate.scenario import GIB, FaultKind, Scenario
from milvus_tuning.snapshot import (
    MISSING,
    Collection,
    CollectionShape,
    ComponentPod,
    EtcdSetting,
    Freeze,
    FreezeReason,
    OwnedKey,
    Problem,
    ProblemKind,
    QueryNode,
    Replica,
    Sample,
    Segment,
    Snapshot,
    Traffic,
    Workload,
    WorkloadKind,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
SCRAPE_AGE_SECONDS = 5.0
COLLECTION_ID = 100
POLICY_UID = "model"
SHAPE = CollectionShape(dimension=128, vector_bytes=512, index_type="FLAT")
_BASE_LATENCY_MILLISECONDS = 20.0
_SEARCHES_PER_CORE_MINUTE = 600  # each costs a tenth of a core second
_BALANCER = normalised(PLACEMENT_KEY)
_NAMESPACE, _DEPLOYMENT = "model", "model-milvus-querynode"


@lru_cache(maxsize=4096)
def virtual_time(at_seconds: float) -> datetime:
    """The virtual wall clock."""
    return START + timedelta(seconds=at_seconds)


def take_snapshot(cluster: ModelCluster, scenario: Scenario) -> Snapshot:
    """What can be seen of the cluster now."""
    at = cluster.now_seconds
    down = bool(scenario.active(FaultKind.MILVUS_DOWN, at))
    return Snapshot(
        taken_at=virtual_time(at),
        workload=_workload(cluster, scenario),
        milvus_version=None if down else cluster.model.version,
        query_nodes=tuple(_node(node, cluster, scenario) for node in cluster.nodes),
        collections=() if down else _collections(cluster, scenario),
        replicas=() if down else _replicas(cluster),
        segments=() if down else _segments(cluster),
        traffic=_traffic(cluster, scenario),
        settings=_settings(cluster),
        settings_readable=not down,
        owned_keys=_owned(cluster),
        components=_components(cluster),
        etcd_root_path=None if down else "by-dev",
        freezes=_freezes(scenario, at),
        problems=_problems(scenario, at),
    )


def _workload(cluster: ModelCluster, scenario: Scenario) -> Workload:
    serving = len(cluster.members())
    autoscaled = scenario.active(FaultKind.AUTOSCALER, cluster.now_seconds)
    return Workload(
        kind=WorkloadKind.DEPLOYMENT,
        namespace=_NAMESPACE,
        name=_DEPLOYMENT,
        desired_count=cluster.desired_count,
        ready_count=serving,
        serving_count=None if scenario.active(FaultKind.MILVUS_DOWN, cluster.now_seconds) else serving,
        autoscalers=("HorizontalPodAutoscaler/model",) if autoscaled else (),
    )


def _node(node: ModelNode, cluster: ModelCluster, scenario: Scenario) -> QueryNode:
    at, model = cluster.now_seconds, cluster.model
    serves = node.serves(at)
    samples = _Samples(node=node, cluster=cluster, scenario=scenario)
    return QueryNode(
        pod=node.pod,
        pod_uid=f"uid-of-{node.pod}",
        node_id=node.number if serves and not scenario.active(FaultKind.MILVUS_DOWN, at) else None,
        ip=f"10.0.0.{node.number}",
        ready=serves,
        terminating=node.leaving,
        created_at=virtual_time(node.created_at_seconds),
        grace_period_seconds=model.grace_period_seconds,
        deletion_cost=node.deletion_cost,
        pending_reason="Unschedulable" if node.serves_at_seconds is None else None,
        memory_limit_bytes=int(model.memory_gib * GIB),
        cpu_limit_cores=model.cpu_cores,
        resident_memory_bytes=samples.of(cluster.used_bytes(node)),
        loaded_bytes=samples.of(cluster.held_bytes(node)),
        cpu_cores=samples.of(node.mean_cpu_cores),
    )


class _Samples:
    """How Prometheus would answer for one node now."""

    def __init__(self, *, node: ModelNode, cluster: ModelCluster, scenario: Scenario) -> None:
        at = cluster.now_seconds
        missing = scenario.active(FaultKind.SERIES_MISSING, at)
        self._gone = bool(
            scenario.active(FaultKind.PROMETHEUS_DOWN, at) or any(fault.pod == node.pod for fault in missing)
        )
        stale = scenario.active(FaultKind.STALE_SAMPLES, at)
        self._age_seconds = SCRAPE_AGE_SECONDS + max((at - fault.from_seconds for fault in stale), default=0.0)

    def of(self, value: float | None) -> Sample:
        """The sample of this value."""
        return MISSING if self._gone or value is None else Sample(value=value, age_seconds=self._age_seconds)


def _settings(cluster: ModelCluster) -> dict[str, EtcdSetting]:
    """What is stored in Milvus's etcd: autoBalance while it is held off, and what was written otherwise."""
    held_off = EtcdSetting(key=_BALANCER, value="false", spellings=(_BALANCER,), revision=1, leased=True)
    written = {
        normalised(key): EtcdSetting(key=key, value=one.value, spellings=(key,), revision=1)
        for key, one in cluster.components.keys.items()
        if one.value is not None
    }
    return written if cluster.auto_balance else {**written, _BALANCER: held_off}


def _owned(cluster: ModelCluster) -> dict[str, dict[str, OwnedKey]]:
    """Whose keys these are: nobody else writes them."""
    records = {
        key: OwnedKey(previous=one.previous, written=one.value, written_at=virtual_time(one.written_at_seconds))
        for key, one in cluster.components.keys.items()
    }
    if not cluster.auto_balance:
        records[PLACEMENT_KEY] = OwnedKey(previous=None, written="false")
    return {POLICY_UID: records} if records else {}


def _components(cluster: ModelCluster) -> tuple[ComponentPod, ...]:
    """The pods of all components, those of the QueryNodes included. No process tells what it has read."""
    at = cluster.now_seconds
    nodes = (
        ComponentPod(
            component=QUERY_NODE,
            pod=node.pod,
            pod_uid=f"uid-of-{node.pod}",
            ready=node.serves(at),
            terminating=node.leaving,
            created_at=virtual_time(node.created_at_seconds),
            started_at=None if node.serves_at_seconds is None else virtual_time(node.created_at_seconds),
            grace_period_seconds=cluster.model.grace_period_seconds,
        )
        for node in cluster.nodes
    )
    others = (
        ComponentPod(
            component=one.component,
            pod=one.pod,
            pod_uid=f"uid-of-{one.pod}",
            ready=one.ready_at_seconds <= at,
            created_at=virtual_time(one.started_at_seconds),
            started_at=virtual_time(one.started_at_seconds),
        )
        for one in cluster.components.pods
    )
    return tuple(sorted((*nodes, *others), key=lambda pod: pod.pod))


def _collections(cluster: ModelCluster, scenario: Scenario) -> tuple[Collection, ...]:
    """A search reads every row of its collection: what it costs goes with the segments."""
    gone = scenario.active(FaultKind.PROMETHEUS_DOWN, cluster.now_seconds)
    cores, count = scenario.cores(cluster.now_seconds), cluster.model.segment_count
    rates = [
        cores * cluster.cost_of(number) * _SEARCHES_PER_CORE_MINUTE / 60 * count / one.segments
        for number, one in enumerate(cluster.model.loaded)
    ]
    return tuple(
        Collection(
            collection_id=COLLECTION_ID + number,
            name=one.name,
            searches_per_second=MISSING if gone else Sample(value=rate, age_seconds=SCRAPE_AGE_SECONDS),
            shape=SHAPE,
        )
        for number, (one, rate) in enumerate(zip(cluster.model.loaded, rates, strict=True))
    )


def _replicas(cluster: ModelCluster) -> tuple[Replica, ...]:
    serving = [node.number for node in cluster.nodes if node.serves(cluster.now_seconds)]
    replicas = []
    for copy in cluster.replicas:
        ids, at = tuple(number for number in serving if number in copy.nodes), copy.collection
        leaders = ((f"channel-{at}", ids[at % len(ids)]),) if ids else ()
        replicas.append(Replica(replica_id=copy.key, collection_id=COLLECTION_ID + at, node_ids=ids, leaders=leaders))
    return tuple(replicas)


def _segments(cluster: ModelCluster) -> tuple[Segment, ...]:
    """Segments that somebody serves; Milvus does not list the others."""
    holders: dict[int, list[int]] = {}
    for node in cluster.nodes:
        for segment in cluster.segments_of(node):
            holders.setdefault(segment, []).append(node.number)
    return tuple(
        _segment(segment, cluster.collection_of[segment], cluster.model.segment_rows, tuple(held))
        for segment, held in sorted(holders.items())
    )


@lru_cache(maxsize=4096)
def _segment(number: int, collection: int, rows: int, holders: tuple[int, ...]) -> Segment:
    """Most stay where they are from one look to the next."""
    return Segment(segment_id=number, collection_id=COLLECTION_ID + collection, rows=rows, node_ids=holders)


def _traffic(cluster: ModelCluster, scenario: Scenario) -> Traffic:
    if scenario.active(FaultKind.PROMETHEUS_DOWN, cluster.now_seconds):
        return Traffic()
    waiting = max((node.backlog_core_seconds for node in cluster.nodes), default=0.0) / cluster.model.cpu_cores
    latency = Sample(value=_BASE_LATENCY_MILLISECONDS + 1000 * waiting, age_seconds=SCRAPE_AGE_SECONDS)
    return Traffic(p99_milliseconds=latency, mean_milliseconds=latency)


def measure(cluster: ModelCluster, scenario: Scenario, spec: MilvusTuningSpec) -> Measurement:
    """What Prometheus would tell of the verification window that ends now."""
    at = cluster.now_seconds
    window_seconds = (spec.verification or Verification()).window_seconds
    latency = _traffic(cluster, scenario).mean_milliseconds.value
    if latency is None:
        return Measurement(ended_at=virtual_time(at), window_seconds=window_seconds)
    slowed = latency * math.prod(fault.factor for fault in scenario.active(FaultKind.SLOW, at))
    return Measurement(
        ended_at=virtual_time(at),
        window_seconds=window_seconds,
        searches_per_minute=round(scenario.cores(at) * _SEARCHES_PER_CORE_MINUTE),
        mean_microseconds=round(slowed * 1000),
        failed_searches_per_million=0,
        node_count=len(cluster.members()),
    )


def _freezes(scenario: Scenario, at: float) -> tuple[Freeze, ...]:
    if not scenario.active(FaultKind.LOADING, at):
        return ()
    return (Freeze(reason=FreezeReason.LOADING, message="collection model is at 50 %"),)


def _problems(scenario: Scenario, at: float) -> tuple[Problem, ...]:
    known = {
        FaultKind.PROMETHEUS_DOWN: Problem(
            kind=ProblemKind.PROMETHEUS_UNREACHABLE, message="Prometheus refuses the connection"
        ),
        FaultKind.MILVUS_DOWN: Problem(kind=ProblemKind.MILVUS_UNREACHABLE, message="Milvus refuses the connection"),
    }
    return tuple(problem for kind, problem in known.items() if scenario.active(kind, at))
