"""Observe: Kubernetes, Milvus, Prometheus and etcd become one frozen Snapshot.

First Kubernetes says what the target is and where the rest can be found; then the other sources are read beside each
other, each within the same budget. A source that is silent, slow or refuses becomes a Problem in the snapshot and takes
nothing of the others along.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import datetime
from typing import Final, TypeVar

from kubernetes.client import ApiClient

from milvus_tuning.api import CollectionConsistency, MilvusTuningSpec, PrometheusConnection
from milvus_tuning.catalogue import parse_version
from milvus_tuning.clients.connect import ClusterConnections, Connector
from milvus_tuning.clients.etcd import EtcdClient
from milvus_tuning.clients.kube import KubeReader
from milvus_tuning.clients.milvus import MilvusClient
from milvus_tuning.clients.podmetrics import read_node_ids
from milvus_tuning.clients.prometheus import PrometheusClient
from milvus_tuning.observe import queries
from milvus_tuning.observe.assemble import Readings, assemble
from milvus_tuning.observe.effect import measure_effect, question_of, unmeasured
from milvus_tuning.observe.etcd import EtcdFacts, read_etcd
from milvus_tuning.observe.kube import observe_target
from milvus_tuning.observe.memory import ClusterMemory, Memories
from milvus_tuning.observe.milvus import MilvusFacts, read_milvus
from milvus_tuning.observe.probes import TIMEOUT_SECONDS as PROBE_SECONDS
from milvus_tuning.observe.probes import probe_limit, probes
from milvus_tuning.observe.prometheus import Measurements, measure
from milvus_tuning.observe.read_back import TIMEOUT_SECONDS, ask, declared_keys, questions
from milvus_tuning.observe.target import Target, TargetUnusable
from milvus_tuning.plan import Measurement
from milvus_tuning.settings import Settings
from milvus_tuning.snapshot import Problem, ProblemKind, ReadBack, Snapshot

SOURCE_THREADS: Final = 12  # three sources for four objects observed at once
QUERY_THREADS: Final = 16
POD_TIMEOUT_SECONDS: Final = 2.0
_T = TypeVar("_T")

__all__ = ["Observer"]


class Observer:
    """Takes snapshots. May be used from several threads.

    api_client is the process's own; settings.request_timeout_seconds is the budget of the sources in one pass.
    """

    def __init__(self, api_client: ApiClient, settings: Settings) -> None:
        self._reader = KubeReader(api_client, timeout_seconds=settings.request_timeout_seconds)
        self._connector = Connector(self._reader, settings)
        self._budget_seconds = settings.request_timeout_seconds
        self._sources = ThreadPoolExecutor(SOURCE_THREADS, thread_name_prefix="observe")
        self._queries = ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="query")
        self._memories = Memories()
        self._lock = threading.Lock()
        self._latest: dict[tuple[str, str], tuple[MilvusTuningSpec, ClusterConnections, Target]] = {}

    def observe(self, namespace: str, spec: MilvusTuningSpec, now: datetime) -> Snapshot:
        """The facts of one cluster. Trouble with any source is in the snapshot's problems.

        Raises KubeError, an ObserveError, where the Kubernetes API itself does not answer.
        """
        try:
            target = observe_target(self._reader, namespace, spec.target_ref)
        except TargetUnusable as unusable:
            return Snapshot(taken_at=now, problems=(unusable.problem,))
        connections = self._connect(namespace, spec, target)
        memory = self._memories.of(_key(namespace, spec), connections.milvus)
        snapshot = assemble(self._read(target, connections, spec, memory), now)
        memory.note_searches(snapshot.collections)
        if snapshot.settings_readable:
            memory.note_owned_levels(snapshot.owned_levels)
        return snapshot

    def connections(self, namespace: str, spec: MilvusTuningSpec) -> ClusterConnections:
        """The connections that the last observation of this target used; made now where there was none.

        For a target that cannot be used its problem stands in for each client.
        """
        with self._lock:
            known = self._latest.get(_key(namespace, spec))
        if known is not None and known[0] == spec:
            return known[1]
        try:
            target = observe_target(self._reader, namespace, spec.target_ref)
        except TargetUnusable as unusable:
            return ClusterConnections(milvus=unusable.problem, prometheus=None, etcd=unusable.problem, root_path="")
        return self._connect(namespace, spec, target)

    def measure(
        self,
        namespace: str,
        spec: MilvusTuningSpec,
        snapshot: Snapshot,
        now: datetime,
        *,
        window_seconds: int,
        slow_bound_milliseconds: int | None,
    ) -> Measurement:
        """What searches met over the window that ends now, for the QueryNodes of the snapshot.

        slow_bound_milliseconds: above it a search counts as slow; None: chosen from the objective or the mean. Where
        Prometheus tells nothing the numbers are None. Raises KubeError where Kubernetes must be asked for the target
        and does not answer.
        """
        question = question_of(
            spec, snapshot, now, window_seconds=window_seconds, slow_bound_milliseconds=slow_bound_milliseconds
        )
        try:
            target, connections = self._seen(namespace, spec, snapshot)
        except TargetUnusable:
            return unmeasured(question)
        declared = spec.connections.prometheus if spec.connections else None
        client = connections.prometheus
        if declared is None or not isinstance(client, PrometheusClient):
            return unmeasured(question)
        deadline = time.monotonic() + self._budget_seconds
        asked = self._sources.submit(measure_effect, client, declared, target, question, self._queries)
        return _result(asked, deadline, lambda _: unmeasured(question))

    def close(self) -> None:
        """Close all connections; an observation under way ends with problems."""
        self._sources.shutdown(wait=False, cancel_futures=True)
        self._queries.shutdown(wait=False, cancel_futures=True)
        self._connector.close()

    def _seen(self, namespace: str, spec: MilvusTuningSpec, snapshot: Snapshot) -> tuple[Target, ClusterConnections]:
        """The target that the snapshot was taken of; read again where the one in memory is another."""
        with self._lock:
            known = self._latest.get(_key(namespace, spec))
        pods = {node.pod for node in snapshot.query_nodes}
        if known is not None and known[0] == spec and {node.pod for node in known[2].query_nodes} == pods:
            return known[2], known[1]
        target = observe_target(self._reader, namespace, spec.target_ref)
        return target, self._connect(namespace, spec, target)

    def _connect(self, namespace: str, spec: MilvusTuningSpec, target: Target) -> ClusterConnections:
        made = self._connector.connect(namespace, spec, target.found)
        with self._lock:
            self._latest[_key(namespace, spec)] = (spec, made, target)
        return made

    def _read(
        self, target: Target, connections: ClusterConnections, spec: MilvusTuningSpec, memory: ClusterMemory
    ) -> Readings:
        deadline = time.monotonic() + self._budget_seconds
        pending = (
            self._sources.submit(self._read_milvus, connections, spec, memory),
            self._sources.submit(self._measure, target, connections, spec),
            self._sources.submit(_read_etcd, target, connections),
        )
        milvus = _result(pending[0], deadline, lambda text: MilvusFacts(problems=(_late_milvus(text),)))
        metrics = _result(pending[1], deadline, lambda text: Measurements(problems=(_late_prometheus(text),)))
        etcd = _result(pending[2], deadline, lambda text: EtcdFacts(problems=(_late_etcd(text),)))
        said = self._said_by_pod(target, metrics)
        keys = _declared_keys(spec, milvus.version)
        read_back = (
            *self._read_back(target, keys, milvus.version, etcd, memory),
            *self._probe(target, keys, connections, etcd, memory),
        )
        return Readings(target=target, milvus=milvus, metrics=metrics, etcd=etcd, said_by_pod=said, read_back=read_back)

    def _read_milvus(
        self, connections: ClusterConnections, spec: MilvusTuningSpec, memory: ClusterMemory
    ) -> MilvusFacts:
        client, budget_seconds = connections.milvus, self._budget_seconds * 0.8
        if isinstance(client, MilvusClient):
            levels = frozenset((one.database, one.name) for one in _declared_levels(spec))
            return read_milvus(client, memory, budget_seconds=budget_seconds, shapes=spec.needs_shapes, levels=levels)
        return MilvusFacts(problems=(client,))

    def _measure(self, target: Target, connections: ClusterConnections, spec: MilvusTuningSpec) -> Measurements:
        declared = spec.connections.prometheus if spec.connections else None
        match connections.prometheus, declared:
            case PrometheusClient() as client, PrometheusConnection() as connection:
                also = queries.NETWORK if spec.network is not None else ()
                return measure(client, connection, target, self._queries, also)
            case Problem() as problem, _:
                return Measurements(problems=(problem,))
            case _:
                return Measurements()

    def _read_back(
        self, target: Target, keys: Sequence[str], version: str | None, etcd: EtcdFacts, memory: ClusterMemory
    ) -> tuple[ReadBack, ...]:
        """What the processes say of the declared keys; one that is silent is left out."""
        release = parse_version(version)
        if release is None or not keys:
            return ()
        asked = questions(keys, release, target.components, dict(target.addresses), etcd.processes)
        due = memory.read_back.due(asked, time.monotonic())
        pending = {question: self._queries.submit(ask, question) for question in due}
        deadline = time.monotonic() + 2 * TIMEOUT_SECONDS
        for question, future in pending.items():
            values = _result(future, deadline, lambda _: None)
            if values is not None:
                memory.read_back.keep(question, values)
        return memory.read_back.known(time.monotonic())

    def _probe(
        self,
        target: Target,
        keys: Sequence[str],
        connections: ClusterConnections,
        etcd: EtcdFacts,
        memory: ClusterMemory,
    ) -> tuple[ReadBack, ...]:
        """What processes that tell nothing show of the declared keys by what they do; nothing while etcd is unread."""
        if etcd.root_path is None:
            return ()
        client = connections.milvus
        wanted = probes(keys, target, etcd.settings, client if isinstance(client, MilvusClient) else None)
        due = memory.probes.due(wanted, time.monotonic())
        pending = {probe: self._queries.submit(probe_limit, probe) for probe in due}
        deadline = time.monotonic() + 2 * PROBE_SECONDS
        for probe, future in pending.items():
            limit = _result(future, deadline, lambda _: None)
            if limit is not None:
                memory.probes.keep(probe, limit)
        return memory.probes.known()

    def _said_by_pod(self, target: Target, metrics: Measurements) -> Mapping[str, frozenset[int]]:
        """The node ids in each pod's own metrics: through Prometheus, else from the pod itself.

        A pod that Prometheus gives two ids for is asked too: the older one of a restarted container may linger there.
        """
        said = {pod: measures.node_ids for pod, measures in metrics.nodes.items() if len(measures.node_ids) == 1}
        ports = dict(target.metrics_ports)
        asked = {
            node.pod: self._queries.submit(
                read_node_ids, node.ip, port=ports[node.pod], timeout_seconds=POD_TIMEOUT_SECONDS
            )
            for node in target.query_nodes
            if node.pod not in said and node.ready and node.ip
        }
        deadline = time.monotonic() + self._budget_seconds / 2
        return said | {pod: _result(future, deadline, lambda _: frozenset()) for pod, future in asked.items()}


def _declared_keys(spec: MilvusTuningSpec, version: str | None) -> tuple[str, ...]:
    release = parse_version(version)
    return declared_keys(spec, release) if release else ()


def _read_etcd(target: Target, connections: ClusterConnections) -> EtcdFacts:
    match connections.etcd:
        case EtcdClient() as client:
            pod_ips = frozenset(node.ip for node in target.query_nodes if node.ip)
            root_path, meta_path = connections.root_path, connections.meta_path
            return read_etcd(client, root_path=root_path, meta_path=meta_path, pod_ips=pod_ips)
        case Problem() as problem:
            return EtcdFacts(problems=(problem,))
        case None:
            return EtcdFacts()


def _result(future: Future[_T], deadline: float, otherwise: Callable[[str], _T]) -> _T:
    """The result, or what stands for it when the source did not keep to the budget."""
    try:
        return future.result(timeout=max(0.0, deadline - time.monotonic()))
    except FutureTimeoutError:
        future.cancel()
        return otherwise("did not answer within the time of one pass")


def _declared_levels(spec: MilvusTuningSpec) -> Sequence[CollectionConsistency]:
    return (spec.consistency.collections if spec.consistency else None) or ()


def _late_milvus(text: str) -> Problem:
    return Problem(kind=ProblemKind.MILVUS_UNREACHABLE, message=f"Milvus {text}")


def _late_prometheus(text: str) -> Problem:
    return Problem(kind=ProblemKind.PROMETHEUS_UNREACHABLE, message=f"Prometheus {text}")


def _late_etcd(text: str) -> Problem:
    return Problem(kind=ProblemKind.ETCD_UNREACHABLE, message=f"etcd {text}")


def _key(namespace: str, spec: MilvusTuningSpec) -> tuple[str, str]:
    return (namespace, f"{spec.target_ref.kind}/{spec.target_ref.name}")
