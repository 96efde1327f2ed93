"""Marking the pod that a scale-in is to take away.

A ReplicaSet that shrinks removes the ready pod with the lowest `controller.kubernetes.io/pod-deletion-cost` first
(Kubernetes 1.22 and later). The mark is written on exactly the pod that was decided on, told by its uid, and what
stood there before comes back when the step is undone.
"""

from __future__ import annotations

from kubernetes.client import ApiException, CoreV1Api, V1ObjectMeta

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply.context import (
    CONFLICT_RETRIES,
    MERGE_PATCH,
    NOT_FOUND,
    ApplyContext,
    PreconditionChanged,
    kubernetes_errors,
    number_of,
    text_of,
    unless_conflict,
)
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Parameters, Step

DELETION_COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"


def mark_pod(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Carry out (or take back) a DrainQueryNode step: the deletion cost of one pod; what was done, in words."""
    name, uid = text_of(step.precondition, "pod"), text_of(step.precondition, "podUid")
    ours, before = _cost(step.action), _cost(step.undo)
    expected, target = (ours, before) if undo else (before, ours)
    for _ in range(CONFLICT_RETRIES):
        pod = _read(context, name, uid)
        if pod is None:
            if undo:
                return f"pod {name} is gone, and its deletion cost with it"
            raise PreconditionChanged(f"pod {name} ({uid}) is gone: it cannot be drained any more")
        live = (pod.annotations or {}).get(DELETION_COST_ANNOTATION)
        if live == target:
            return f"deletion cost of pod {name} is {_words(target)} already"
        if live != expected:
            raise PreconditionChanged(
                f"deletion cost of pod {name} is {_words(live)}, neither {_words(expected)} nor {_words(target)}: "
                "somebody else set it"
            )
        if _written(context, pod, target):
            return f"deletion cost of pod {name} set from {_words(live)} to {_words(target)}"
    raise ApplyError(f"pod {name} changed during each of {CONFLICT_RETRIES} tries to mark it", retryable=True)


def _cost(parameters: Parameters) -> str | None:
    """The annotation's text; null is its absence."""
    return None if parameters.get("deletionCost") is None else str(number_of(parameters, "deletionCost"))


def _words(cost: str | None) -> str:
    return "unset" if cost is None else cost


def _read(context: ApplyContext, name: str, uid: str) -> V1ObjectMeta | None:
    """The metadata of the pod of this very uid, or None."""
    with kubernetes_errors(f"reading pod {context.workload.namespace}/{name}"):
        try:
            pod = CoreV1Api(context.api_client).read_namespaced_pod(
                name, context.workload.namespace, _request_timeout=context.timeout_seconds
            )
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            return None
    return pod.metadata if pod.metadata is not None and pod.metadata.uid == uid else None


def _written(context: ApplyContext, pod: V1ObjectMeta, cost: str | None) -> bool:
    context.require_lease()
    metadata = {
        "uid": pod.uid,  # another pod of this name is a 409
        "resourceVersion": pod.resource_version,
        "annotations": {DELETION_COST_ANNOTATION: cost},
    }
    with kubernetes_errors(f"setting the deletion cost of pod {pod.name}"):
        return unless_conflict(
            lambda: CoreV1Api(context.api_client).patch_namespaced_pod(
                str(pod.name),
                context.workload.namespace,
                {"metadata": metadata},
                field_manager=FIELD_MANAGER,
                _content_type=MERGE_PATCH,
                _request_timeout=context.timeout_seconds,
            )
        )
