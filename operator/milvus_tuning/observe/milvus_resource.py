"""A target of kind Milvus: a custom resource of milvus-operator.

That operator keeps two QueryNode Deployments, `<name>-milvus-querynode-0` and `-1`, of which one is live; the
annotation `milvus.io/querynode-current-group-id` names it and the replica counts confirm it. Only the custom resource
is ever written. Everything by which it tells others to keep their hands off (-1 replicas, groups, hpa, pause-reconcile,
a roll, a MilvusUpgrade, manual mode) is honoured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from milvus_tuning.clients.connect import Found
from milvus_tuning.clients.kube import Deployment, KubeError, KubeFailure, KubeReader, ReplicaSet
from milvus_tuning.clients.scheduling import scheduling_of
from milvus_tuning.clients.trees import Tree, tree_at
from milvus_tuning.observe import install_config
from milvus_tuning.observe.components import addresses_of, environment_of
from milvus_tuning.observe.helm import QUERY_NODE, instance_labels
from milvus_tuning.observe.pods import metrics_port, owned_pods, query_node
from milvus_tuning.observe.resource_config import read_resource_config
from milvus_tuning.observe.scheduling import placed_pods
from milvus_tuning.observe.target import COORDINATORS, OPERATOR_COMPONENT_LABEL, Target, TargetUnusable
from milvus_tuning.observe.workload import (
    component_of,
    coordinator_freezes,
    draining_freezes,
    ready_count,
    ready_pod_names,
    rolling_out,
    started_at,
)
from milvus_tuning.observe.writers import HELM_RELEASE_ANNOTATION, autoscalers_of, raw_entries, replicas_owner
from milvus_tuning.snapshot import Freeze, FreezeReason, Problem, ProblemKind, Workload, WorkloadKind

GROUP, VERSION, PLURAL, UPGRADES = "milvus.io", "v1beta1", "milvuses", "milvusupgrades"
CURRENT_GROUP = "milvus.io/querynode-current-group-id"
GROUP_LABEL = "milvus.io/querynode-group-id"
ROLLING_SUFFIX = "-rolling-id"
PAUSE_RECONCILE = "milvus.io/pause-reconcile"
HANDED_OVER = -1
_UPGRADE_OVER = ("Succeeded", "RollbackSucceeded")


def observe_milvus(reader: KubeReader, namespace: str, name: str) -> Target:
    """The resource and its pods as Kubernetes knows them; TargetUnusable where it is not one that can be scaled."""
    resource = _read(reader, namespace, name)
    _refuse_unsupported(resource, namespace, name)
    labels = instance_labels(name)
    deployments, replica_sets = reader.deployments(namespace, labels), reader.replica_sets(namespace, labels)
    slots = [found for found in deployments if component_of(found, OPERATOR_COMPONENT_LABEL) == QUERY_NODE]
    live = live_slot(slots, resource)
    pods = reader.pods(namespace, labels)
    owned = owned_pods(pods, replica_sets, frozenset(slot.metadata.uid for slot in slots))
    nodes = tuple(query_node(pod) for pod in owned)
    freezes = (
        *resource_freezes(resource),
        *_upgrade_freezes(reader, namespace, name),
        *slot_freezes(slots, live, replica_sets),
        *coordinator_freezes(deployments, OPERATOR_COMPONENT_LABEL),
        *draining_freezes(nodes),
    )
    component = tree_at(resource, "spec", "components", "queryNode")
    aims = frozenset({("Milvus", name), *(("Deployment", slot.metadata.name) for slot in slots)})
    workload = Workload(
        kind=WorkloadKind.MILVUS,
        namespace=namespace,
        name=name,
        desired_count=int(component.get("replicas", 1)),
        ready_count=ready_count(nodes),
        resource_version=resource["metadata"].get("resourceVersion", ""),
        rollout_in_progress=any(freeze.reason is FreezeReason.ROLLOUT for freeze in freezes),
        replicas_owner=_owner(resource),
        autoscalers=(*_own_autoscaler(component, name), *autoscalers_of(reader, namespace, aims)),
    )
    return Target(
        workload=workload,
        found=_found(reader, namespace, name, resource),
        query_nodes=nodes,
        proxy_pods=ready_pod_names(pods, OPERATOR_COMPONENT_LABEL, frozenset({"proxy"})),
        coordinator_pods=ready_pod_names(pods, OPERATOR_COMPONENT_LABEL, COORDINATORS),
        coordinators_started=started_at(pods, OPERATOR_COMPONENT_LABEL, COORDINATORS),
        metrics_ports=tuple((pod.metadata.name, metrics_port(pod)) for pod in owned),
        components=placed_pods(pods, name, slot=_annotations(resource).get(CURRENT_GROUP)),
        scheduling=scheduling_of(resource),
        addresses=addresses_of(pods, OPERATOR_COMPONENT_LABEL),
        install_config=install_config.as_text(install_config.flattened(tree_at(resource, "spec", "config"))),
        environment_config=install_config.environment_config(environment_of(pods, OPERATOR_COMPONENT_LABEL)),
        resource_config=read_resource_config(reader, namespace, resource),
        freezes=freezes,
    )


def live_slot(slots: Sequence[Deployment], resource: Tree) -> Deployment | None:
    """The QueryNode Deployment that runs: the only one with replicas, else the one that the annotation names."""
    running = [slot for slot in slots if (slot.spec.replicas or 0) > 0]
    if len(running) == 1:
        return running[0]
    named = _annotations(resource).get(CURRENT_GROUP)
    return next((slot for slot in slots if (slot.metadata.labels or {}).get(GROUP_LABEL) == named), None)


def slot_freezes(
    slots: Sequence[Deployment], live: Deployment | None, replica_sets: Sequence[ReplicaSet]
) -> tuple[Freeze, ...]:
    """A freeze while both slots run, none of them is known, or the live one replaces its pods."""
    if live is None:
        return (Freeze(reason=FreezeReason.ROLLOUT, message="milvus-operator has not named its live QueryNode slot"),)
    running = sorted(slot.metadata.name for slot in slots if (slot.spec.replicas or 0) > 0)
    if len(running) > 1:
        text = f"milvus-operator moves QueryNodes between slots: {' and '.join(running)} both run"
        return (Freeze(reason=FreezeReason.ROLLOUT, message=text),)
    if rolling_out(live, replica_sets):
        text = f"Deployment {live.metadata.name} replaces its pods"
        return (Freeze(reason=FreezeReason.ROLLOUT, message=text),)
    return ()


def resource_freezes(resource: Tree) -> tuple[Freeze, ...]:
    """What the resource itself says about being left alone."""
    freezes, components = [], tree_at(resource, "spec", "components")
    rolling = sorted(label for label in _labels(resource) if label.endswith(ROLLING_SUFFIX))
    if rolling:
        freezes.append(
            Freeze(reason=FreezeReason.ROLLOUT, message=f"milvus-operator is rolling ({', '.join(rolling)})")
        )
    for condition in tree_at(resource, "status").get("conditions") or ():
        if condition.get("type") == "MilvusUpdated" and condition.get("status") == "False":
            text = f"milvus-operator says it is updating ({condition.get('reason', 'MilvusUpdated is False')})"
            freezes.append(Freeze(reason=FreezeReason.ROLLOUT, message=text))
    if _annotations(resource).get(PAUSE_RECONCILE) == "true":
        freezes.append(Freeze(reason=FreezeReason.PAUSED_BY_OWNER, message=f"{PAUSE_RECONCILE} is set"))
    for switch in ("enableManualMode", "paused"):
        if components.get(switch) is True:
            text = f"spec.components.{switch} is set"
            freezes.append(Freeze(reason=FreezeReason.PAUSED_BY_OWNER, message=text))
    return tuple(freezes)


def _read(reader: KubeReader, namespace: str, name: str) -> dict[str, Any]:
    try:
        resource = reader.custom_object(GROUP, VERSION, namespace, PLURAL, name)
    except KubeError as error:
        if error.failure is not KubeFailure.NOT_FOUND:
            raise
        text = f"no {PLURAL}.{GROUP} of this name (or milvus-operator's CRD is not installed)"
        raise _unusable(ProblemKind.TARGET_NOT_FOUND, namespace, name, text) from error
    if resource["metadata"].get("deletionTimestamp"):
        raise _unusable(ProblemKind.TARGET_NOT_FOUND, namespace, name, "it is being deleted")
    return resource


def _refuse_unsupported(resource: Tree, namespace: str, name: str) -> None:
    if tree_at(resource, "spec").get("mode", "standalone") != "cluster":
        raise _unusable(ProblemKind.TARGET_UNSUPPORTED, namespace, name, "it runs standalone, without QueryNodes")
    if tree_at(resource, "spec", "components", "queryNode").get("groups"):
        text = "its QueryNodes are split into spec.components.queryNode.groups, whose counts are set one by one"
        raise _unusable(ProblemKind.TARGET_UNSUPPORTED, namespace, name, text)


def _unusable(kind: ProblemKind, namespace: str, name: str, text: str) -> TargetUnusable:
    return TargetUnusable(Problem(kind=kind, message=f"Milvus {namespace}/{name}: {text}"))


def _own_autoscaler(component: Tree, name: str) -> tuple[str, ...]:
    """milvus-operator's own hand-overs count like an autoscaler: somebody else is to set the number."""
    if component.get("hpa"):
        return (f"Milvus/{name} (spec.components.queryNode.hpa)",)
    return (f"Milvus/{name} (queryNode.replicas is -1)",) if component.get("replicas") == HANDED_OVER else ()


def _upgrade_freezes(reader: KubeReader, namespace: str, name: str) -> tuple[Freeze, ...]:
    upgrades = reader.custom_objects(GROUP, VERSION, namespace, UPGRADES)
    return tuple(
        Freeze(reason=FreezeReason.ROLLOUT, message=f"MilvusUpgrade {found['metadata']['name']} is under way")
        for found in upgrades
        if tree_at(found, "spec", "milvus").get("name") == name
        and tree_at(found, "status").get("state") not in _UPGRADE_OVER
    )


def _owner(resource: Tree) -> str | None:
    path = ("f:spec", "f:components", "f:queryNode", "f:replicas")
    in_release = HELM_RELEASE_ANNOTATION in _annotations(resource)
    return replicas_owner(raw_entries(resource["metadata"].get("managedFields")), path, in_release=in_release)


def _found(reader: KubeReader, namespace: str, name: str, resource: Tree) -> Found:
    """The root path is the resource's name unless its config says otherwise (milvus-operator's template)."""
    config = install_config.flattened(tree_at(resource, "spec", "config"))
    config["etcdendpoints"] = tree_at(resource, "spec", "dependencies", "etcd").get("endpoints") or [
        f"{name}-etcd:2379"
    ]
    services = reader.services(namespace)
    return install_config.found_addresses(
        config, services, namespace=namespace, milvus_service=f"{name}-milvus", root_path=name
    )


def _annotations(resource: Tree) -> Tree:
    return tree_at(resource, "metadata", "annotations")


def _labels(resource: Tree) -> Tree:
    return tree_at(resource, "metadata", "labels")
