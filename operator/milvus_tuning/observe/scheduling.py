"""What a pod of milvus-operator says of its place: its zone, the zone that it prefers, and the slot that it is in.

The zone is a label of the pod, which Kubernetes copies from the node from 1.35 on. Nodes themselves are not read: that
would need a right in the whole cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from milvus_tuning.catalogue import preference_of
from milvus_tuning.catalogue.zone_preference import ZONE_LABEL
from milvus_tuning.clients.kube import Pod
from milvus_tuning.observe.components import component_pods
from milvus_tuning.observe.target import OPERATOR_COMPONENT_LABEL
from milvus_tuning.snapshot import ComponentPod

SLOT_LABEL = "milvus.io/querynode-group-id"


def placed_pods(pods: Sequence[Pod], instance: str, *, slot: str | None) -> tuple[ComponentPod, ...]:
    """The pods of all components with their places; slot is the QueryNode slot that milvus-operator names as live."""
    by_uid = {pod.metadata.uid: pod for pod in pods}
    found = component_pods(pods, OPERATOR_COMPONENT_LABEL)
    return tuple(_placed(one, by_uid[one.pod_uid], instance, slot) for one in found)


def _placed(one: ComponentPod, pod: Pod, instance: str, slot: str | None) -> ComponentPod:
    labels = pod.metadata.labels or {}
    its_slot = labels.get(SLOT_LABEL)
    return replace(
        one,
        zone=labels.get(ZONE_LABEL),
        zone_preference=preference_of(_terms(pod), instance),
        outgoing=slot is not None and its_slot is not None and its_slot != slot,
    )


def _terms(pod: Pod) -> list[Any]:
    """The preferred terms of the pod's affinity to pods, as they are stored."""
    affinity = pod.spec.affinity and pod.spec.affinity.pod_affinity
    terms = (affinity and affinity.preferred_during_scheduling_ignored_during_execution) or ()
    return [term.model_dump(by_alias=True, exclude_none=True) for term in terms]
