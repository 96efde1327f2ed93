"""The Milvus object of milvus-operator: read as it is stored, and written in the two ways that touch our leaves alone.

    applied   by forced server-side apply: exactly these leaves are the field manager's, what it leaves out it gives up
    merged    by a merge patch: these leaves are changed, and nothing else is said of the others

Both are guarded by the resourceVersion that was read, which the body names: a change in between is a 409.
"""

from __future__ import annotations

from typing import Any, cast

from kubernetes.client import CustomObjectsApi

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply.context import (
    APPLY_PATCH,
    MERGE_PATCH,
    ApplyContext,
    PreconditionChanged,
    kubernetes_errors,
    workload_name,
)

MILVUS_GROUP, MILVUS_VERSION, MILVUS_PLURAL = "milvus.io", "v1beta1", "milvuses"


def milvus_path(context: ApplyContext) -> tuple[str, str, str, str, str]:
    """Group, version, namespace, plural and name of the object."""
    return (MILVUS_GROUP, MILVUS_VERSION, context.workload.namespace, MILVUS_PLURAL, context.workload.name)


def read_milvus(context: ApplyContext, what: str) -> dict[str, Any]:
    """The object as it is stored; what it is read for is named in errors.

    Raises PreconditionChanged where it is being deleted.
    """
    with kubernetes_errors(f"reading {what} of {workload_name(context)}"):
        found = CustomObjectsApi(context.api_client).get_namespaced_custom_object(
            *milvus_path(context), _request_timeout=context.timeout_seconds
        )
    body = cast("dict[str, Any]", found)
    if body["metadata"].get("deletionTimestamp"):
        raise PreconditionChanged(f"{workload_name(context)} is being deleted")
    return body


def apply_milvus(context: ApplyContext, leaves: dict[str, Any], resource_version: str, *, manager: str) -> None:
    """Have the field manager own exactly these leaves, over exactly this version."""
    name, namespace = context.workload.name, context.workload.namespace
    whole = {
        "apiVersion": f"{MILVUS_GROUP}/{MILVUS_VERSION}",
        "kind": "Milvus",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": resource_version},
        **leaves,
    }
    _patch(context, whole, APPLY_PATCH, field_manager=manager, force=True)


def merge_milvus(context: ApplyContext, patch: dict[str, Any]) -> None:
    """Change what the patch names, over the version that it names."""
    _patch(context, patch, MERGE_PATCH, field_manager=FIELD_MANAGER)


def _patch(context: ApplyContext, body: dict[str, Any], kind: str, **options: Any) -> None:  # noqa: ANN401
    CustomObjectsApi(context.api_client).patch_namespaced_custom_object(
        *milvus_path(context), body, _content_type=kind, _request_timeout=context.timeout_seconds, **options
    )
