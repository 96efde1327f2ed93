"""Steps and contexts for tests of writes, with defaults that make sense."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from kubernetes.client import ApiClient

from milvus_tuning.apply import ApplyContext
from milvus_tuning.catalogue import SCHEDULING_FIELD
from milvus_tuning.clients.etcd import EtcdClient
from milvus_tuning.plan import Step, StepKind
from milvus_tuning.snapshot import Workload, WorkloadKind


def allowed() -> None:
    """The Lease is held."""


def a_context(
    *,
    api_client: ApiClient | None = None,
    etcd: EtcdClient | None = None,
    root_path: str | None = None,
    namespace: str = "default",
    kind: WorkloadKind = WorkloadKind.DEPLOYMENT,
    name: str = "querynode",
    policy_uid: str = "policy-1",
    require_lease: Callable[[], None] = allowed,
    clock: Callable[[], datetime] | None = None,
) -> ApplyContext:
    """A context that may write."""
    return ApplyContext(
        api_client=api_client or ApiClient(),
        etcd=etcd,
        root_path=root_path,
        namespace=namespace,
        workload=Workload(kind=kind, namespace=namespace, name=name, desired_count=2, ready_count=2),
        policy_uid=policy_uid,
        require_lease=require_lease,
        timeout_seconds=10,
        clock=clock,
    )


def a_scale(before: int, after: int) -> Step:
    """Scale from one count to another."""
    return Step(
        kind=StepKind.SCALE_QUERY_NODES,
        precondition={"desiredCount": before},
        action={"count": after},
        verification={"servingCount": after, "deadlineSeconds": 60},
        undo={"count": before},
    )


def a_mark(pod: str, uid: str, *, cost: int = -2147483647, before: int | None = None) -> Step:
    """Mark a pod for deletion."""
    return Step(
        kind=StepKind.DRAIN_QUERY_NODE,
        precondition={"pod": pod, "podUid": uid, "gracePeriodSeconds": 600},
        action={"pod": pod, "deletionCost": cost},
        verification={"pod": pod, "deletionCost": cost},
        undo={"pod": pod, "deletionCost": before},
    )


def a_config(key: str, before: str | None, after: str | None) -> Step:
    """Set a configuration key from one value to another; None is absent."""
    return Step(
        kind=StepKind.SET_CONFIG,
        precondition={"key": key, "value": before},
        action={"key": key, "value": after},
        verification={"key": key, "value": after},
        undo={"key": key, "value": before},
    )


def a_placement(*, take: bool = True, lease_seconds: int = 300) -> Step:
    """Take Milvus's balancer away, or return it."""
    absent: dict[str, str | int | None] = {"key": "querycoord.autobalance", "value": None}
    ours: dict[str, str | int | None] = {"key": "querycoord.autobalance", "value": "false"}
    under_lease = {**ours, "leaseSeconds": lease_seconds}
    if take:
        return Step(
            kind=StepKind.TAKE_PLACEMENT, precondition=absent, action=under_lease, verification=ours, undo=absent
        )
    return Step(kind=StepKind.RETURN_PLACEMENT, precondition=ours, action=absent, verification=absent, undo=under_lease)


def a_scheduling(before: str | None, after: str | None) -> Step:
    """Have QueryNodes prefer another zone; None is no preference."""
    old, new = {"key": SCHEDULING_FIELD, "value": before}, {"key": SCHEDULING_FIELD, "value": after}
    return Step(
        kind=StepKind.SET_SCHEDULING,
        precondition={**old, "count": 2},
        action=new,
        verification={**new, "deadlineSeconds": 600},
        undo=old,
    )
