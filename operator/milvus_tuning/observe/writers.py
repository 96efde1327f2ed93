"""Who else writes the number of QueryNodes: field managers, HorizontalPodAutoscalers, KEDA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.clients.kube import KubeReader, ManagedFieldsEntry

HELM = "helm"
HELM_RELEASE_ANNOTATION = "meta.helm.sh/release-name"
# Names under which Helm's library wrote before it set one of its own, and under which programs that embed it write.
_HELM_MANAGERS = ("go-http-client", "terraform-provider-helm", "helm-controller")
_KEDA = ("keda.sh", "v1alpha1", "scaledobjects")


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldEntry:
    """An entry of managedFields, reduced to what is asked of it."""

    manager: str
    subresource: str | None
    fields: Mapping[str, Any]

    def owns(self, path: Sequence[str]) -> bool:
        """Whether the entry owns the field at this path, such as ("f:spec", "f:replicas")."""
        at: Any = self.fields
        for name in path:
            if not isinstance(at, Mapping) or name not in at:
                return False
            at = at[name]
        return True


def replicas_owner(entries: Sequence[FieldEntry], path: Sequence[str], *, in_release: bool) -> str | None:
    """The field manager that owns the replica count; Helm before others, others before us, in the order of names.

    in_release tells that the object carries Helm's annotation: only then do the general names of its library count.
    """
    managers = sorted({_manager_name(entry, in_release=in_release) for entry in entries if entry.owns(path)})
    ranked = sorted(managers, key=lambda manager: (manager != HELM, manager == FIELD_MANAGER))
    return ranked[0] if ranked else None


def _manager_name(entry: FieldEntry, *, in_release: bool) -> str:
    name = entry.manager.lower()
    embedded = in_release and entry.subresource is None and name.startswith(_HELM_MANAGERS)
    return HELM if embedded or name == HELM or name.startswith("helm-v") else entry.manager


def autoscalers_of(reader: KubeReader, namespace: str, aims: frozenset[tuple[str, str]]) -> tuple[str, ...]:
    """HorizontalPodAutoscalers and ScaledObjects aimed at any of these (kind, name)."""
    horizontal = (
        f"HorizontalPodAutoscaler/{found.metadata.name}"
        for found in reader.autoscalers(namespace)
        if (found.spec.scale_target_ref.kind, found.spec.scale_target_ref.name) in aims
    )
    scaled = (
        f"ScaledObject/{found['metadata']['name']}"
        for found in reader.custom_objects(_KEDA[0], _KEDA[1], namespace, _KEDA[2])
        if _keda_aim(found) in aims
    )
    return tuple(sorted({*horizontal, *scaled}))


def _keda_aim(found: Mapping[str, Any]) -> tuple[str, str]:
    aim = found.get("spec", {}).get("scaleTargetRef", {})
    return (aim.get("kind", "Deployment"), aim.get("name", ""))


def typed_entries(managed_fields: Sequence[ManagedFieldsEntry] | None) -> tuple[FieldEntry, ...]:
    """From the kubernetes package's own model."""
    return tuple(
        FieldEntry(manager=entry.manager or "", subresource=entry.subresource, fields=entry.fields_v1 or {})
        for entry in managed_fields or ()
    )


def raw_entries(managed_fields: Sequence[Mapping[str, Any]] | None) -> tuple[FieldEntry, ...]:
    """From a custom object as it is stored."""
    return tuple(
        FieldEntry(
            manager=entry.get("manager", ""), subresource=entry.get("subresource"), fields=entry.get("fieldsV1") or {}
        )
        for entry in managed_fields or ()
    )
