"""The pods of every component of an install, in the words of the catalogue: who reads which key, and since when.

A process has the configuration of its start for every key that it reads only then. So what counts is not since when the
pod exists but since when Milvus's own container in it runs: a container that was restarted has read everything anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from milvus_tuning.clients.kube import ContainerStatus, Pod
from milvus_tuning.observe.pods import DEFAULT_GRACE_PERIOD_SECONDS, has_ended, is_ready, is_terminating
from milvus_tuning.observe.workload import component_of
from milvus_tuning.snapshot import ComponentPod

WORDS: Final = {
    "querynode": "QueryNode",
    "proxy": "Proxy",
    "mixcoord": "MixCoord",
    "querycoord": "QueryCoord",
    "rootcoord": "RootCoord",
    "datacoord": "DataCoord",
    "indexcoord": "IndexCoord",
    "datanode": "DataNode",
    "indexnode": "IndexNode",
    "streamingnode": "StreamingNode",
}
"""The label's value, the same in the chart and under milvus-operator -> the catalogue's word. standalone is none."""


def component_pods(pods: Sequence[Pod], label: str) -> tuple[ComponentPod, ...]:
    """The pods of Milvus's components that have not ended, in the order of their names."""
    return tuple(_component_pod(pod, component_of(pod, label)) for pod in _chosen(pods, label))


def addresses_of(pods: Sequence[Pod], label: str) -> tuple[tuple[str, str], ...]:
    """Name and IP of each of these pods that has one."""
    return tuple((pod.metadata.name, pod.status.pod_ip) for pod in _chosen(pods, label) if pod.status.pod_ip)


def environment_of(pods: Sequence[Pod], label: str) -> dict[str, str]:
    """The environment of Milvus's containers, as far as it stands in the pods as text.

    A variable that only some pods have counts for all; of several values for one the last by the pods' names does.
    """
    return {
        entry.name: entry.value
        for pod in _chosen(pods, label)
        for entry in _container(pod, component_of(pod, label)).env or ()
        if entry.value is not None
    }


def _chosen(pods: Sequence[Pod], label: str) -> list[Pod]:
    chosen = (pod for pod in pods if component_of(pod, label) in WORDS and not has_ended(pod))
    return sorted(chosen, key=lambda pod: pod.metadata.name)


def _component_pod(pod: Pod, component: str) -> ComponentPod:
    grace = pod.spec.termination_grace_period_seconds
    return ComponentPod(
        component=WORDS[component],
        pod=pod.metadata.name,
        pod_uid=pod.metadata.uid,
        ready=is_ready(pod),
        terminating=is_terminating(pod),
        created_at=pod.metadata.creation_timestamp,
        started_at=_started_at(pod, component),
        grace_period_seconds=DEFAULT_GRACE_PERIOD_SECONDS if grace is None else grace,
    )


def _started_at(pod: Pod, component: str) -> datetime | None:
    """Since when Milvus's container runs; None where it does not."""
    name = _container(pod, component).name
    statuses: Sequence[ContainerStatus] = pod.status.container_statuses or ()
    states = (status.state for status in statuses if status.name == name)
    return next((state.running.started_at for state in states if state and state.running), None)


def _container(pod: Pod, component: str) -> ContainerStatus:
    """The container of the component's name, as chart and operator have it; the first one where none has it."""
    containers = pod.spec.containers
    return next((found for found in containers if found.name == component), containers[0])
