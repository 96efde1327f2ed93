"""Kubernetes objects for tests of writes."""

from __future__ import annotations

from typing import Any, cast

from kubernetes.client import ApiClient, CustomObjectsApi

Object = dict[str, Any]
APPS = ("apps", "v1", "deployments")
MILVUS = ("milvus.io", "v1beta1", "milvuses")


def a_deployment(name: str = "querynode", *, replicas: int | None = 2) -> Object:
    """A Deployment as a chart renders it; without replicas when they are None."""
    labels = {"component": "querynode"}
    pod = {"containers": [{"name": "querynode", "image": "pause"}]}
    spec: Object = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def a_milvus(name: str = "my-release", *, query_node: Object | None = None) -> Object:
    """A Milvus cluster as a user writes it."""
    components = {} if query_node is None else {"queryNode": query_node}
    spec = {"mode": "cluster", "components": components}
    return {"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "metadata": {"name": name}, "spec": spec}


class Objects:
    """Objects of one kind in one namespace, in JSON."""

    def __init__(self, api_client: ApiClient, namespace: str, kind: tuple[str, str, str]) -> None:
        self._api = CustomObjectsApi(api_client)
        self._group, self._version, self._plural = kind
        self._namespace = namespace

    def create(self, body: Object, *, manager: str) -> Object:
        """Create by a plain POST."""
        made = self._api.create_namespaced_custom_object(
            self._group, self._version, self._namespace, self._plural, body, field_manager=manager
        )
        return cast("Object", made)

    def read(self, name: str) -> Object:
        """The object now."""
        found = self._api.get_namespaced_custom_object(self._group, self._version, self._namespace, self._plural, name)
        return cast("Object", found)

    def merge(self, name: str, patch: Object, *, manager: str) -> Object:
        """Change by a merge patch, as kubectl edit does."""
        return self._patch(name, patch, manager=manager, content_type="application/merge-patch+json", force=None)

    def apply(self, body: Object, *, manager: str, force: bool = False) -> Object:
        """Change by server-side apply, as a GitOps tool does."""
        name, content_type = body["metadata"]["name"], "application/apply-patch+yaml"
        return self._patch(name, body, manager=manager, content_type=content_type, force=force)

    def delete(self, name: str) -> None:
        """Ask for deletion."""
        self._api.delete_namespaced_custom_object(self._group, self._version, self._namespace, self._plural, name)

    def _patch(self, name: str, body: Object, *, manager: str, content_type: str, force: bool | None) -> Object:
        patched = self._api.patch_namespaced_custom_object(
            self._group,
            self._version,
            self._namespace,
            self._plural,
            name,
            body,
            field_manager=manager,
            _content_type=content_type,
            force=force,
        )
        return cast("Object", patched)


def owners(body: Object, *path: str) -> set[tuple[str, str]]:
    """(manager, operation) of everybody who owns the field at the path."""
    return {(entry["manager"], entry["operation"]) for entry in body["metadata"]["managedFields"] if _owns(entry, path)}


def _owns(entry: Object, path: tuple[str, ...]) -> bool:
    fields = entry["fieldsV1"]
    for part in path:
        if f"f:{part}" not in fields:
            return False
        fields = fields[f"f:{part}"]
    return True
