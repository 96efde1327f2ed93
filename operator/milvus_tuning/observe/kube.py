"""From a target reference to what Kubernetes knows about it."""

from __future__ import annotations

from milvus_tuning.api import TargetKind, TargetReference
from milvus_tuning.clients.kube import KubeError, KubeFailure, KubeReader
from milvus_tuning.observe.helm import observe_helm_release
from milvus_tuning.observe.milvus_resource import observe_milvus
from milvus_tuning.observe.target import Target, TargetUnusable
from milvus_tuning.snapshot import Problem, ProblemKind


def observe_target(reader: KubeReader, namespace: str, reference: TargetReference) -> Target:
    """The target, in the namespace of the MilvusTuning.

    Raises TargetUnusable where there is none, several, one that cannot be scaled, or one we may not read; KubeError
    where the API server does not answer.
    """
    try:
        if reference.kind is TargetKind.HELM_RELEASE:
            return observe_helm_release(reader, namespace, reference.name)
        return observe_milvus(reader, namespace, reference.name)
    except KubeError as error:
        if error.failure is not KubeFailure.FORBIDDEN:
            raise
        text = f"{error}: the operator's Role lacks this right"
        raise TargetUnusable(Problem(kind=ProblemKind.PERMISSION_DENIED, message=text)) from error
