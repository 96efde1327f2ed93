"""What Kubernetes runs: the owner of the QueryNodes, and the pods of all components."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime


class WorkloadKind(enum.StrEnum):
    """The kind of object whose replica count is written, and only it."""

    DEPLOYMENT = "Deployment"  # a Helm release: the chart's QueryNode Deployment
    MILVUS = "Milvus"  # milvus-operator: the custom resource, never its Deployments


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """The owner of the QueryNode pods: what was asked of it and what came of it.

    desired, ready and serving are counted apart: desired is what the owning resource asks for, ready are pods that
    Kubernetes calls Ready, serving are QueryNodes that Milvus itself counts as members and that are not leaving.
    """

    kind: WorkloadKind
    namespace: str
    name: str
    desired_count: int
    ready_count: int
    serving_count: int | None = None
    resource_version: str = ""
    rollout_in_progress: bool = False
    replicas_owner: str | None = None  # field manager that owns the replica count, e.g. "helm"
    autoscalers: tuple[str, ...] = ()  # "HorizontalPodAutoscaler/name" or "ScaledObject/name" aimed at it
    foreign_reverts: int = 0  # how often somebody else put back what we wrote, within the last hour


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduling:
    """Which zone the owner of the QueryNodes has them prefer.

    preference is the policy's word for what stands in the field (WithProxies, WithQueryNodes); None where nothing does,
    or something else. ours tells that we wrote it. others is what somebody else has there that speaks against writing
    it, in words. all_at_once tells that its owner would replace all QueryNodes at the same time for it.
    """

    preference: str | None = None
    ours: bool = False
    others: tuple[str, ...] = ()
    all_at_once: bool = False


MIX_COORD = "MixCoord"
COORDINATORS = ("RootCoord", "QueryCoord", "DataCoord", "IndexCoord")
"""The components that an install runs by themselves, or all in MixCoord."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentPod:
    """A pod of the install, of any component.

    component is the catalogue's word: QueryNode, Proxy, MixCoord, QueryCoord, RootCoord, DataCoord, IndexCoord,
    DataNode, IndexNode, StreamingNode. started_at is since when its container runs: its configuration is of then.
    zone is where Kubernetes says so on the pod (from 1.35 on). zone_preference is the one that it was placed with, in
    the policy's word. outgoing tells that milvus-operator moves the component away from this pod's slot.
    """

    component: str
    pod: str
    pod_uid: str
    ready: bool = True
    terminating: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    grace_period_seconds: int = 30
    zone: str | None = None
    zone_preference: str | None = None
    outgoing: bool = False
