"""The number of QueryNodes, written through the resource that owns it.

    Helm release     the scale subresource of the chart's QueryNode Deployment
    Milvus object    spec.components.queryNode.replicas of the custom resource, never its Deployments

Both by forced server-side apply of that one field, with the resourceVersion that was read: a change in between is a
409, after which everything is read and judged again. The write is absolute. It is made only when the live count is
the one the step was decided on; is it the target already, there is nothing to do; is it anything else, somebody else
scales too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubernetes.client import AppsV1Api

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply.context import (
    APPLY_PATCH,
    CONFLICT_RETRIES,
    ApplyContext,
    PreconditionChanged,
    kubernetes_errors,
    number_of,
    unless_conflict,
    workload_name,
)
from milvus_tuning.apply.milvus_object import apply_milvus, read_milvus
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import WorkloadKind


@dataclass(frozen=True, kw_only=True, slots=True)
class _Live:
    """The count as it stands, and the version of the object that says so."""

    count: int
    resource_version: str


def scale_query_nodes(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Carry out (or take back) a ScaleQueryNodes step; what was done, in words."""
    target = number_of(step.undo if undo else step.action, "count")
    expected = number_of(step.action, "count") if undo else number_of(step.precondition, "desiredCount")
    if target < 0:
        raise ApplyError(f"{target} is no number of QueryNodes", retryable=False)
    for _ in range(CONFLICT_RETRIES):
        live = _read(context)
        if live.count == target:
            return f"{workload_name(context)} already asks for {target} QueryNodes"
        if live.count != expected:
            text = f"{workload_name(context)} asks for {live.count} QueryNodes, neither {expected} nor {target}"
            raise PreconditionChanged(f"{text}: somebody else scales it")
        if _written(context, target, live.resource_version):
            return f"{workload_name(context)} scaled from {live.count} to {target} QueryNodes"
    raise ApplyError(
        f"{workload_name(context)} changed during each of {CONFLICT_RETRIES} tries to scale it", retryable=True
    )


def _read(context: ApplyContext) -> _Live:
    if context.workload.kind is WorkloadKind.MILVUS:
        return _live_milvus(context, read_milvus(context, "the replica count"))
    with kubernetes_errors(f"reading the replica count of {workload_name(context)}"):
        scale = AppsV1Api(context.api_client).read_namespaced_deployment_scale(
            context.workload.name, context.workload.namespace, _request_timeout=context.timeout_seconds
        )
        count = scale.spec.replicas if scale.spec else None
        version = scale.metadata.resource_version if scale.metadata else None
        return _Live(count=count or 0, resource_version=version or "")


def _live_milvus(context: ApplyContext, body: dict[str, Any]) -> _Live:
    """The count in a Milvus object; refused where the field is not the one that counts, or belongs to an autoscaler."""
    query_node = body.get("spec", {}).get("components", {}).get("queryNode") or {}
    if query_node.get("groups"):
        raise PreconditionChanged(
            f"{workload_name(context)} has queryNode.groups: its queryNode.replicas counts for nothing"
        )
    count = query_node.get("replicas", 1)  # milvus-operator's default where it is absent
    if count < 0:
        raise PreconditionChanged(f"{workload_name(context)} has queryNode.replicas -1: an autoscaler owns the count")
    return _Live(count=count, resource_version=body["metadata"]["resourceVersion"])


def _written(context: ApplyContext, count: int, resource_version: str) -> bool:
    """Write the count over exactly this version of the object; False when it has changed."""
    context.require_lease()
    write = _write_milvus if context.workload.kind is WorkloadKind.MILVUS else _write_deployment
    with kubernetes_errors(f"scaling {workload_name(context)} to {count}"):
        return unless_conflict(lambda: write(context, count, resource_version))


def _write_deployment(context: ApplyContext, count: int, resource_version: str) -> None:
    name, namespace = context.workload.name, context.workload.namespace
    AppsV1Api(context.api_client).patch_namespaced_deployment_scale(
        name,
        namespace,
        {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": resource_version},
            "spec": {"replicas": count},
        },
        field_manager=FIELD_MANAGER,
        force=True,
        _content_type=APPLY_PATCH,
        _request_timeout=context.timeout_seconds,
    )


def _write_milvus(context: ApplyContext, count: int, resource_version: str) -> None:
    leaves = {"spec": {"components": {"queryNode": {"replicas": count}}}}
    apply_milvus(context, leaves, resource_version, manager=FIELD_MANAGER)
