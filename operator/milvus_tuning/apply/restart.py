"""A pod replaced through the Eviction API: Kubernetes stops it as for a drained machine, and its owner makes another.

Never a plain deletion: a PodDisruptionBudget has its say. What it answers:

    201               the pod is leaving, or was already
    404, another uid  it is gone: nothing to do
    429               a PodDisruptionBudget forbids it now: asked again with the next pass, until the step's deadline

Which pod it is stands in the step, with its uid: another pod of the same name is left alone. A pod that is not ready
needs no room in the budget where nothing is lost with it, or where the budget's unhealthyPodEvictionPolicy says so;
that is the user's.
"""

from __future__ import annotations

from kubernetes.client import (
    ApiException,
    CoreV1Api,
    V1DeleteOptions,
    V1Eviction,
    V1ObjectMeta,
    V1Preconditions,
)

from milvus_tuning.apply.context import CONFLICT, NOT_FOUND, ApplyContext, kubernetes_errors, text_of
from milvus_tuning.plan import Step


def restart_pod(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Evict the pod that the step names; what was done, in words."""
    part = step.undo if undo else step.action
    name, uid = text_of(part, "pod"), text_of(part, "podUid")
    namespace = context.workload.namespace
    options = V1DeleteOptions(preconditions=V1Preconditions(uid=uid))
    body = V1Eviction(metadata=V1ObjectMeta(name=name, namespace=namespace), delete_options=options)
    context.require_lease()
    with kubernetes_errors(f"evicting pod {namespace}/{name} ({uid})"):
        try:
            CoreV1Api(context.api_client).create_namespaced_pod_eviction(
                name, namespace, body, _request_timeout=context.timeout_seconds
            )
        except ApiException as error:
            if error.status == NOT_FOUND or (error.status == CONFLICT and _is_another(context, name, uid)):
                return f"pod {name} ({uid}) is gone already"
            raise
    return f"pod {name} ({uid}) is leaving"


def _is_another(context: ApplyContext, name: str, uid: str) -> bool:
    """Whether the pod of this name is another one by now."""
    try:
        found = CoreV1Api(context.api_client).read_namespaced_pod(
            name, context.workload.namespace, _request_timeout=context.timeout_seconds
        )
    except ApiException as error:
        if error.status != NOT_FOUND:
            raise
        return True
    return found.metadata is None or found.metadata.uid != uid
