"""Deployments: a rollout under way, coordinators that are not ready, pods by component; for both kinds of target."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from milvus_tuning.clients.kube import Deployment, Pod, ReplicaSet
from milvus_tuning.observe.pods import is_ready, is_terminating
from milvus_tuning.observe.target import COORDINATORS
from milvus_tuning.snapshot import Freeze, FreezeReason, QueryNode


def rolling_out(deployment: Deployment, replica_sets: Sequence[ReplicaSet]) -> bool:
    """Whether pods of an older template are still there or the controller has not seen the latest change yet."""
    status, uid = deployment.status, deployment.metadata.uid
    if (status.observed_generation or 0) < (deployment.metadata.generation or 0):
        return True
    if (status.replicas or 0) > (status.updated_replicas or 0):
        return True
    owned = (found for found in replica_sets if uid in {owner.uid for owner in found.metadata.owner_references or ()})
    return sum(1 for found in owned if (found.spec.replicas or 0) > 0) > 1


def component_of(found: Deployment | Pod, label: str) -> str:
    """The Milvus component of a Deployment or pod, such as `querynode`; empty without the label."""
    return str((found.metadata.labels or {}).get(label, ""))


def ready_pod_names(pods: Sequence[Pod], label: str, components: frozenset[str]) -> tuple[str, ...]:
    """The names of ready pods of these components that stay, in order."""
    chosen = (pod for pod in pods if component_of(pod, label) in components)
    return tuple(sorted(pod.metadata.name for pod in chosen if is_ready(pod) and not is_terminating(pod)))


def started_at(pods: Sequence[Pod], label: str, components: frozenset[str]) -> tuple[tuple[str, datetime], ...]:
    """Pods of these components that stay, each with the latest start of its running containers."""
    chosen = (pod for pod in pods if component_of(pod, label) in components and not is_terminating(pod))
    starts = ((pod.metadata.name, _latest_start(pod)) for pod in chosen)
    return tuple(sorted((name, at) for name, at in starts if at is not None))


def _latest_start(pod: Pod) -> datetime | None:
    states = (status.state for status in pod.status.container_statuses or ())
    starts: list[datetime] = [state.running.started_at for state in states if state and state.running]
    return max((at for at in starts if at is not None), default=None)


def coordinator_freezes(deployments: Sequence[Deployment], label: str) -> tuple[Freeze, ...]:
    """A freeze for each coordinator Deployment that should run and of which no pod is ready."""
    return tuple(
        Freeze(
            reason=FreezeReason.COORDINATOR_NOT_READY,
            message=f"Deployment {found.metadata.name} has no ready pod: Milvus is failing over or starting",
        )
        for found in sorted(deployments, key=lambda deployment: deployment.metadata.name)
        if component_of(found, label) in COORDINATORS
        and (found.spec.replicas or 0) > 0
        and not (found.status.ready_replicas or 0)
    )


def draining_freezes(nodes: Sequence[QueryNode]) -> tuple[Freeze, ...]:
    """A freeze while QueryNodes leave."""
    leaving = [node.pod for node in nodes if node.terminating]
    if not leaving:
        return ()
    return (Freeze(reason=FreezeReason.DRAINING, message=f"{', '.join(leaving)} is leaving"),)


def ready_count(nodes: Sequence[QueryNode]) -> int:
    """Pods that Kubernetes calls Ready and that stay."""
    return sum(1 for node in nodes if node.ready and not node.terminating)
