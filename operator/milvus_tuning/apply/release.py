"""Giving up the ownership of the replica count while the count itself stays.

Two roads that look right are wrong (shown on a real API server in tests/apply/test_release.py): applying without the
field removes it, after which 1 is the default; and an update that writes the same value gives nobody the ownership,
because managedFields follows changes. So our entry is taken out of managedFields, guarded by resourceVersion: the
value stays, and the next writer, server-side apply without force included, meets no conflict.

For a Deployment this needs the right to patch deployments, which a narrow role lacks (the scale subresource does not
let managedFields be edited). Then the entry stays, and the message says what it means.
"""

from __future__ import annotations

from typing import Any, cast

from kubernetes.client import ApiException, CustomObjectsApi

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply.context import (
    CONFLICT_RETRIES,
    NOT_FOUND,
    ApplyContext,
    kubernetes_errors,
    unless_conflict,
    workload_name,
)
from milvus_tuning.apply.milvus_object import milvus_path
from milvus_tuning.errors import ApplyError
from milvus_tuning.snapshot import WorkloadKind

JSON_PATCH = "application/json-patch+json"
FORBIDDEN = 403


def release_replicas(context: ApplyContext) -> str:
    """Leave the replica count as it is and give up our ownership of it; what was done, in words."""
    name = workload_name(context)
    for _ in range(CONFLICT_RETRIES):
        metadata = _metadata(context)
        if metadata is None:
            return f"{name} is gone"
        entries = metadata.get("managedFields", [])
        others = [entry for entry in entries if entry.get("manager") != FIELD_MANAGER]
        if len(others) == len(entries):
            return f"{name}: the replica count is not ours"
        outcome = _drop_ownership(context, others, str(metadata["resourceVersion"]))
        if outcome is not None:
            return f"{name}: {outcome}"
    raise ApplyError(f"{name} changed during each of {CONFLICT_RETRIES} tries to release it", retryable=True)


def _drop_ownership(context: ApplyContext, others: list[Any], resource_version: str) -> str | None:
    """Write managedFields without our entry, over exactly this version; None when the object has changed."""
    context.require_lease()
    with kubernetes_errors(f"releasing the replica count of {workload_name(context)}"):
        try:
            written = unless_conflict(lambda: _patch(context, others, resource_version))
        except ApiException as error:
            if error.status != FORBIDDEN:
                raise
            return (
                f"the replica count stays; managedFields goes on naming {FIELD_MANAGER}, as the role may not patch it"
            )
    return "the replica count stays, its ownership is given up" if written else None


def _metadata(context: ApplyContext) -> dict[str, Any] | None:
    with kubernetes_errors(f"reading {workload_name(context)}"):
        try:
            found = CustomObjectsApi(context.api_client).get_namespaced_custom_object(
                *_path(context), _request_timeout=context.timeout_seconds
            )
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            return None
    return cast("dict[str, Any]", cast("dict[str, Any]", found)["metadata"])


def _patch(context: ApplyContext, others: list[Any], resource_version: str) -> None:
    CustomObjectsApi(context.api_client).patch_namespaced_custom_object(
        *_path(context),
        [
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": resource_version,
            },  # 409 when it has changed
            {"op": "replace", "path": "/metadata/managedFields", "value": others},
        ],
        field_manager=FIELD_MANAGER,
        _content_type=JSON_PATCH,
        _request_timeout=context.timeout_seconds,
    )


def _path(context: ApplyContext) -> tuple[str, str, str, str, str]:
    """Group, version, namespace, plural, name. The client's typed Deployment would lose the order of managedFields."""
    workload = context.workload
    if workload.kind is WorkloadKind.MILVUS:
        return milvus_path(context)
    return ("apps", "v1", workload.namespace, "deployments", workload.name)
