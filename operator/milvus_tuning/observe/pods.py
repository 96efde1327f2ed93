"""QueryNode pods as Kubernetes sees them: readiness, limits, grace period, and why one does not run yet."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

from milvus_tuning.clients.kube import ContainerStatus, Pod, ReplicaSet
from milvus_tuning.clients.podmetrics import METRICS_PORT
from milvus_tuning.snapshot import QueryNode

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
DEFAULT_GRACE_PERIOD_SECONDS = 30
CONTAINER_NAME = "querynode"
METRICS_PORT_NAME = "metrics"
_GONE = ("Succeeded", "Failed")
_STARTING = ("ContainerCreating", "PodInitializing")  # every pod passes through these


def owned_pods(pods: Sequence[Pod], replica_sets: Sequence[ReplicaSet], deployment_uids: frozenset[str]) -> list[Pod]:
    """The pods of all ReplicaSets of these Deployments that have not ended, in the order of their names."""
    sets = {found.metadata.uid for found in replica_sets if _owners(found) & deployment_uids}
    owned = (pod for pod in pods if _owners(pod) & sets and not has_ended(pod))
    return sorted(owned, key=lambda pod: pod.metadata.name)


def query_node(pod: Pod) -> QueryNode:
    """The Kubernetes half of a QueryNode."""
    limits = _limits(pod)
    memory, cpu = _quantity(limits.get("memory")), _quantity(limits.get("cpu"))
    grace = pod.spec.termination_grace_period_seconds
    ready = is_ready(pod)
    return QueryNode(
        pod=pod.metadata.name,
        pod_uid=pod.metadata.uid,
        node_id=None,
        ip=pod.status.pod_ip or "",
        ready=ready,
        terminating=is_terminating(pod),
        created_at=pod.metadata.creation_timestamp,
        grace_period_seconds=DEFAULT_GRACE_PERIOD_SECONDS if grace is None else grace,
        deletion_cost=_deletion_cost(pod),
        pending_reason=None if ready else pending_reason(pod),
        memory_limit_bytes=None if memory is None else int(memory),
        cpu_limit_cores=None if cpu is None else float(cpu),
    )


def is_ready(pod: Pod) -> bool:
    """Whether Kubernetes calls the pod Ready."""
    return any(condition.type == "Ready" and condition.status == "True" for condition in pod.status.conditions or ())


def has_ended(pod: Pod) -> bool:
    """Whether the pod is over and only its record is left."""
    return pod.status.phase in _GONE


def is_terminating(pod: Pod) -> bool:
    """Whether the pod is being deleted."""
    return pod.metadata.deletion_timestamp is not None


def pending_reason(pod: Pod) -> str | None:
    """Why the pod is not ready, in Kubernetes' word; None where it is on its usual way."""
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return str(condition.reason or "Unschedulable")
    statuses = [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]
    reasons = (_container_reason(status) for status in statuses)
    return next((reason for reason in reasons if reason is not None), None)


def metrics_port(pod: Pod) -> int:
    """The port of the pod's /metrics: the container port of that name, as chart and operator have it."""
    ports = (port for container in pod.spec.containers for port in container.ports or ())
    return next((int(port.container_port) for port in ports if port.name == METRICS_PORT_NAME), METRICS_PORT)


def _container_reason(status: ContainerStatus) -> str | None:
    """OOMKilled says more than the CrashLoopBackOff that follows it."""
    now, last = status.state, status.last_state
    if status.ready:
        return None
    for ended in (now and now.terminated, last and last.terminated):
        if ended and ended.reason == "OOMKilled":
            return "OOMKilled"
    waiting = now.waiting.reason if now and now.waiting else None
    if waiting and waiting not in _STARTING:
        return str(waiting)
    return str(now.terminated.reason) if now and now.terminated and now.terminated.exit_code else None


def _limits(pod: Pod) -> dict[str, str]:
    """The limits of the QueryNode's container; of the first one where none has the usual name."""
    containers = pod.spec.containers
    chosen = next((container for container in containers if container.name == CONTAINER_NAME), containers[0])
    return dict(chosen.resources.limits or {}) if chosen.resources else {}


def _quantity(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        value: Decimal = parse_quantity(text)  # type: ignore[no-untyped-call]
    except (ValueError, ArithmeticError):
        return None
    return value if value > 0 else None


def _deletion_cost(pod: Pod) -> int | None:
    text = (pod.metadata.annotations or {}).get(DELETION_COST)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _owners(found: Pod | ReplicaSet) -> frozenset[str]:
    return frozenset(owner.uid for owner in found.metadata.owner_references or ())
