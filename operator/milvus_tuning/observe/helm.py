"""A target of kind HelmRelease: the QueryNode Deployment of an install of the Milvus Helm chart.

Found by the chart's labels (instance, name, plain `component`, managed-by), never by its name: fullnameOverride changes
names. A chart with replicaResourceGroups renders one Deployment per resource group that all share one replica count;
writing one of them would be wrong for the others, so that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from milvus_tuning.clients.connect import Found
from milvus_tuning.clients.kube import Deployment, KubeError, KubeFailure, KubeReader
from milvus_tuning.observe import install_config
from milvus_tuning.observe.components import addresses_of, component_pods, environment_of
from milvus_tuning.observe.pods import metrics_port, owned_pods, query_node
from milvus_tuning.observe.target import COORDINATORS, HELM_COMPONENT_LABEL, Target, TargetUnusable
from milvus_tuning.observe.workload import (
    component_of,
    coordinator_freezes,
    draining_freezes,
    ready_count,
    ready_pod_names,
    rolling_out,
    started_at,
)
from milvus_tuning.observe.writers import HELM_RELEASE_ANNOTATION, autoscalers_of, replicas_owner, typed_entries
from milvus_tuning.snapshot import Freeze, FreezeReason, Problem, ProblemKind, Workload, WorkloadKind

QUERY_NODE = "querynode"
RESOURCE_GROUP_LABEL = "milvus.io/resource-group"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
REPLICAS_PATH = ("f:spec", "f:replicas")


def instance_labels(name: str) -> dict[str, str]:
    """The labels that everything of one Milvus install carries, whichever way it was installed."""
    return {"app.kubernetes.io/instance": name, "app.kubernetes.io/name": "milvus"}


def observe_helm_release(reader: KubeReader, namespace: str, name: str) -> Target:
    """The release as Kubernetes knows it; TargetUnusable where it is not one that can be scaled."""
    labels = instance_labels(name)
    deployments = reader.deployments(namespace, labels)
    deployment = _query_node_deployment(deployments, namespace, name)
    replica_sets, pods = reader.replica_sets(namespace, labels), reader.pods(namespace, labels)
    owned = owned_pods(pods, replica_sets, frozenset({deployment.metadata.uid}))
    nodes = tuple(query_node(pod) for pod in owned)
    rolling = rolling_out(deployment, replica_sets)
    files = install_config.file_config(_files(reader, namespace, deployment))
    workload = Workload(
        kind=WorkloadKind.DEPLOYMENT,
        namespace=namespace,
        name=deployment.metadata.name,
        desired_count=1 if deployment.spec.replicas is None else deployment.spec.replicas,
        ready_count=ready_count(nodes),
        resource_version=deployment.metadata.resource_version or "",
        rollout_in_progress=rolling,
        replicas_owner=_owner(deployment),
        autoscalers=autoscalers_of(reader, namespace, frozenset({("Deployment", deployment.metadata.name)})),
    )
    return Target(
        workload=workload,
        found=_found(reader, namespace, deployment, files),
        query_nodes=nodes,
        proxy_pods=ready_pod_names(pods, HELM_COMPONENT_LABEL, frozenset({"proxy"})),
        coordinator_pods=ready_pod_names(pods, HELM_COMPONENT_LABEL, COORDINATORS),
        coordinators_started=started_at(pods, HELM_COMPONENT_LABEL, COORDINATORS),
        metrics_ports=tuple((pod.metadata.name, metrics_port(pod)) for pod in owned),
        components=component_pods(pods, HELM_COMPONENT_LABEL),
        addresses=addresses_of(pods, HELM_COMPONENT_LABEL),
        install_config=install_config.as_text(files),
        environment_config=install_config.environment_config(environment_of(pods, HELM_COMPONENT_LABEL)),
        freezes=(
            *_rollout_freezes(deployment, rolling=rolling),
            *coordinator_freezes(deployments, HELM_COMPONENT_LABEL),
            *draining_freezes(nodes),
        ),
    )


def _query_node_deployment(deployments: Sequence[Deployment], namespace: str, name: str) -> Deployment:
    candidates = [found for found in deployments if component_of(found, HELM_COMPONENT_LABEL) == QUERY_NODE]
    grouped = [found for found in candidates if RESOURCE_GROUP_LABEL in (found.metadata.labels or {})]
    if grouped:
        text = "its QueryNodes are split by resource group (replicaResourceGroups), with one count for all groups"
        raise _unusable(ProblemKind.TARGET_UNSUPPORTED, namespace, name, text)
    managed = [found for found in candidates if (found.metadata.labels or {}).get(MANAGED_BY_LABEL) == "Helm"]
    if len(managed) == 1:
        return managed[0]
    if managed:
        names = ", ".join(sorted(found.metadata.name for found in managed))
        raise _unusable(ProblemKind.TARGET_AMBIGUOUS, namespace, name, f"several QueryNode Deployments: {names}")
    raise _nothing_found(deployments, candidates, namespace, name)


def _nothing_found(
    deployments: Sequence[Deployment], candidates: Sequence[Deployment], namespace: str, name: str
) -> TargetUnusable:
    if any(component_of(found, HELM_COMPONENT_LABEL) == "standalone" for found in deployments):
        return _unusable(ProblemKind.TARGET_UNSUPPORTED, namespace, name, "it runs standalone, without QueryNodes")
    if candidates:
        text = f"its QueryNode Deployment {candidates[0].metadata.name} is not labelled {MANAGED_BY_LABEL}=Helm"
        return _unusable(ProblemKind.TARGET_NOT_FOUND, namespace, name, text)
    looked = ", ".join(f"{key}={value}" for key, value in instance_labels(name).items())
    text = f"no Deployment with the labels {looked}, {HELM_COMPONENT_LABEL}={QUERY_NODE}, {MANAGED_BY_LABEL}=Helm"
    return _unusable(ProblemKind.TARGET_NOT_FOUND, namespace, name, text)


def _unusable(kind: ProblemKind, namespace: str, name: str, text: str) -> TargetUnusable:
    return TargetUnusable(Problem(kind=kind, message=f"HelmRelease {namespace}/{name}: {text}"))


def _owner(deployment: Deployment) -> str | None:
    in_release = HELM_RELEASE_ANNOTATION in (deployment.metadata.annotations or {})
    return replicas_owner(typed_entries(deployment.metadata.managed_fields), REPLICAS_PATH, in_release=in_release)


def _rollout_freezes(deployment: Deployment, *, rolling: bool) -> tuple[Freeze, ...]:
    name, freezes = deployment.metadata.name, []
    if rolling:
        text = f"Deployment {name} replaces its pods"
        freezes.append(Freeze(reason=FreezeReason.ROLLOUT, message=text))
    if deployment.spec.paused:
        text = f"Deployment {name} is paused by its owner (spec.paused)"
        freezes.append(Freeze(reason=FreezeReason.PAUSED_BY_OWNER, message=text))
    return tuple(freezes)


def _found(reader: KubeReader, namespace: str, deployment: Deployment, files: install_config.Flat) -> Found:
    fullname = deployment.metadata.name.removesuffix(f"-{QUERY_NODE}")
    config = install_config.with_environment(files, _environment(deployment))
    services = reader.services(namespace)
    return install_config.found_addresses(config, services, namespace=namespace, milvus_service=fullname)


def _files(reader: KubeReader, namespace: str, deployment: Deployment) -> list[str]:
    """The configuration files in the ConfigMaps that the pods mount, in the order in which Milvus reads them."""
    volumes = deployment.spec.template.spec.volumes or ()
    names = sorted({volume.config_map.name for volume in volumes if volume.config_map})
    maps = [_entries(reader, namespace, name) for name in names]
    return [entries[file] for file in install_config.FILES for entries in maps if file in entries]


def _entries(reader: KubeReader, namespace: str, name: str) -> Mapping[str, str]:
    try:
        return reader.config_map(namespace, name)
    except KubeError as error:
        if error.failure is KubeFailure.NOT_FOUND:  # an optional volume
            return {}
        raise


def _environment(deployment: Deployment) -> dict[str, str]:
    container = deployment.spec.template.spec.containers[0]
    return {entry.name: entry.value for entry in container.env or () if entry.value is not None}
