"""The rights that the operator needs, as a table, asked of the API server one by one (SelfSubjectAccessReview)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from milvus_tuning.api import GROUP, PLAN_PLURAL, PLURAL, ConfigDelivery, MilvusTuningSpec, Mode, TargetKind
from milvus_tuning.clients.kube import KubeReader
from milvus_tuning.doctor.check import Check, failure, ok, warning

MEND = "give the operator's Role this right; the Helm chart of the operator renders it (see docs/operations.md)"


def _always(_: MilvusTuningSpec) -> bool:
    return True


def _helm(spec: MilvusTuningSpec) -> bool:
    return spec.target_ref.kind is TargetKind.HELM_RELEASE


def _reading_config_maps(spec: MilvusTuningSpec) -> bool:
    return _helm(spec) or spec.config_delivery is ConfigDelivery.MILVUS_RESOURCE


def _milvus(spec: MilvusTuningSpec) -> bool:
    return spec.target_ref.kind is TargetKind.MILVUS


def _proposing(spec: MilvusTuningSpec) -> bool:
    return spec.mode is not Mode.OBSERVE


def _acting(spec: MilvusTuningSpec) -> bool:
    return _proposing(spec) and spec.query_nodes is not None


def _acting_on_helm(spec: MilvusTuningSpec) -> bool:
    return _acting(spec) and _helm(spec)


def _acting_on_milvus(spec: MilvusTuningSpec) -> bool:
    return _acting(spec) and _milvus(spec)


def _writing_milvus(spec: MilvusTuningSpec) -> bool:
    on_resource = spec.config_delivery is ConfigDelivery.MILVUS_RESOURCE
    return _acting_on_milvus(spec) or (on_resource and _proposing(spec))


def _with_secrets(spec: MilvusTuningSpec) -> bool:
    declared = spec.connections
    sides = (declared.milvus, declared.etcd, declared.prometheus) if declared else ()
    return any(side and (side.credentials_secret_ref or (side.tls and side.tls.ca_secret_ref)) for side in sides)


@dataclass(frozen=True, kw_only=True, slots=True)
class Right:
    """Verbs on a resource, what they are for, and whether a spec needs them at all."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: str
    needed: Callable[[MilvusTuningSpec], bool] = _always
    essential: bool = True

    @property
    def name(self) -> str:
        """As it is written in a Role: `deployments.apps/scale`."""
        resource, slash, subresource = self.resource.partition("/")
        return f"{resource}{'.' if self.group else ''}{self.group}{slash}{subresource}"


READ = ("get", "list")
RIGHTS = (
    Right(group=GROUP, resource=PLURAL, verbs=("get", "list", "watch", "patch"), purpose="the objects it serves"),
    Right(group=GROUP, resource=f"{PLURAL}/status", verbs=("patch", "update"), purpose="their status"),
    Right(group=GROUP, resource=PLAN_PLURAL, verbs=("get", "list", "watch", "delete"), purpose="its plans"),
    Right(
        group=GROUP,
        resource=PLAN_PLURAL,
        verbs=("create", "patch", "update"),
        purpose="proposing plans",
        needed=_proposing,
    ),
    Right(
        group=GROUP,
        resource=f"{PLAN_PLURAL}/status",
        verbs=("get", "patch", "update"),
        purpose="the log of its plans",
        needed=_proposing,
    ),
    Right(group="apps", resource="deployments", verbs=READ, purpose="the QueryNode Deployment"),
    Right(group="apps", resource="replicasets", verbs=("list",), purpose="which pods are whose, and rollouts"),
    Right(group="", resource="pods", verbs=READ, purpose="QueryNodes"),
    Right(group="", resource="services", verbs=("list",), purpose="the address of Milvus"),
    Right(
        group="",
        resource="configmaps",
        verbs=("get",),
        purpose="the address of etcd and its root path, or what milvus-operator makes of spec.config",
        needed=_reading_config_maps,
    ),
    Right(group="", resource="secrets", verbs=("get",), purpose="credentials", needed=_with_secrets),
    Right(
        group="autoscaling", resource="horizontalpodautoscalers", verbs=("list",), purpose="other writers of the size"
    ),
    Right(group="keda.sh", resource="scaledobjects", verbs=("list",), purpose="other writers of the size"),
    Right(group="milvus.io", resource="milvuses", verbs=("get",), purpose="the target", needed=_milvus),
    Right(group="milvus.io", resource="milvusupgrades", verbs=("list",), purpose="upgrades under way", needed=_milvus),
    Right(group="apps", resource="deployments/scale", verbs=("patch",), purpose="the size", needed=_acting_on_helm),
    Right(
        group="milvus.io",
        resource="milvuses",
        verbs=("patch",),
        purpose="the size, and configuration keys that go to spec.config",
        needed=_writing_milvus,
    ),
    Right(group="", resource="pods", verbs=("patch",), purpose="marking the pod that leaves", needed=_acting),
    Right(
        group="",
        resource="pods/eviction",
        verbs=("create",),
        purpose="restarting components for keys that are read at start",
        needed=_proposing,
        essential=False,
    ),
    Right(group="", resource="events", verbs=("create",), purpose="telling what it does", essential=False),
)


def rights_checks(reader: KubeReader, namespace: str, spec: MilvusTuningSpec) -> tuple[Check, ...]:
    """One check per right that this spec needs."""
    return tuple(_check(reader, namespace, right) for right in RIGHTS if right.needed(spec))


def _check(reader: KubeReader, namespace: str, right: Right) -> Check:
    resource, _, subresource = right.resource.partition("/")
    missing = [
        verb
        for verb in right.verbs
        if not reader.may(namespace, verb=verb, group=right.group, resource=resource, subresource=subresource)
    ]
    name = f"right {', '.join(right.verbs)} {right.name}"
    if not missing:
        return ok(name, f"granted in {namespace} ({right.purpose})")
    text = f"may not {', '.join(missing)} in {namespace} ({right.purpose})"
    return failure(name, text, MEND) if right.essential else warning(name, text, MEND)
