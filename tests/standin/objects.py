"""What the stand-in makes of a Milvus object: defaults, names, labels, Deployments, ConfigMap, Service, status."""

from __future__ import annotations

import copy
from datetime import datetime

import yaml

from tests.standin.kube import Object

FINALIZER = "milvus.milvus.io/finalizer"
SLOT_ANNOTATION = "milvus.io/querynode-current-group-id"
PAUSE_ANNOTATION = "milvus.io/pause-reconcile"
COMPONENTS = {"proxy": "proxy", "mixCoord": "mixcoord", "dataNode": "datanode", "indexNode": "indexnode"}
STANDALONE = {"standalone": "standalone"}
COORDINATORS = ("rootCoord", "dataCoord", "indexCoord", "queryCoord")
GRACE_PERIOD_SECONDS = 2592000  # milvus-operator gives all pods thirty days


def with_defaults(milvus: Object) -> Object:
    """The object as milvus-operator writes it back on its first pass. A count that is there is never changed."""
    found = copy.deepcopy(milvus)
    metadata, spec = found["metadata"], found.setdefault("spec", {})
    if FINALIZER not in metadata.setdefault("finalizers", []):
        metadata["finalizers"].append(FINALIZER)
    metadata.setdefault("labels", {}).setdefault("milvus.io/operator-version", "standin")
    metadata.setdefault("annotations", {}).setdefault(SLOT_ANNOTATION, "0")
    components = spec.setdefault("components", {})
    for name, value in {"rollingMode": 2, "updateConfigMapOnly": True, "enableRollingUpdate": True}.items():
        components.setdefault(name, value)
    for name in (*COMPONENTS, "queryNode"):
        components.setdefault(name, {}).setdefault("replicas", 1)
    components.setdefault("standalone", {}).setdefault("replicas", 0)
    for name in COORDINATORS:
        spec.setdefault("config", {}).setdefault(name, {}).setdefault("enableActiveStandby", True)
    return found


def active_slot(milvus: Object) -> str:
    """The slot whose Deployment carries the QueryNodes, "0" or "1"."""
    return str(milvus["metadata"].get("annotations", {}).get(SLOT_ANNOTATION, "0"))


def deployments(milvus: Object, image: str) -> dict[str, Object]:
    """All Deployments by name, with the counts they should have; -1 stays -1 (nobody of ours sets it)."""
    components = milvus["spec"]["components"]
    made = {}
    for field, component in (COMPONENTS | STANDALONE).items():
        one = _deployment(milvus, component, "", components[field]["replicas"], image)
        made[one["metadata"]["name"]] = one
    for slot in ("0", "1"):
        count = components["queryNode"]["replicas"] if slot == active_slot(milvus) else 0
        one = _deployment(milvus, "querynode", slot, count, image)
        made[one["metadata"]["name"]] = one
    return made


def config_map(milvus: Object) -> Object:
    """The ConfigMap of the name of the object."""
    metadata = milvus["metadata"]
    content = {"etcd": {"rootPath": metadata["name"]}} | milvus["spec"].get("config", {})
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _owned(milvus, metadata["name"], _labels(milvus)),
        "data": {"user.yaml": yaml.safe_dump(content), "hook.yaml": "{}\n"},
    }


def service(milvus: Object) -> Object:
    """The only Service there is."""
    ports = [{"name": "milvus", "port": 19530}, {"name": "metrics", "port": 9091}]
    selector = _labels(milvus) | {"milvus.io/service": "true"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned(milvus, f"{milvus['metadata']['name']}-milvus", _labels(milvus)),
        "spec": {"selector": selector, "ports": ports},
    }


def status(milvus: Object, live: dict[str, Object], *, settled: bool, now: datetime) -> Object:
    """The status after a pass. observedGeneration follows only when nothing is left to do."""
    before, name = milvus.get("status", {}), milvus["metadata"]["name"]
    active = live[f"{name}-milvus-querynode-{active_slot(milvus)}"]
    ready = all(_available(one) for one in live.values())
    conditions = {condition["type"]: condition for condition in before.get("conditions", [])}
    for kind in ("EtcdReady", "StorageReady", "MsgStreamReady"):
        _set(conditions, kind, "True", kind, now)
    _set(conditions, "MilvusReady", str(ready), "ReasonMilvusHealthy" if ready else "MilvusComponentNotHealthy", now)
    _set(conditions, "MilvusUpdated", "True", "MilvusComponentsUpdated", now)
    after = {
        "status": "Healthy" if ready else "Unhealthy" if before.get("observedGeneration") else "Pending",
        "conditions": list(conditions.values()),
        "endpoint": f"{name}-milvus.{milvus['metadata']['namespace']}:19530",
        "rollingModeVersion": 2,
        "componentsDeployStatus": {
            "querynode": {"generation": active["metadata"]["generation"], "status": active.get("status", {})}
        },
    }
    if settled:
        after["observedGeneration"] = milvus["metadata"]["generation"]
    elif "observedGeneration" in before:
        after["observedGeneration"] = before["observedGeneration"]
    return after


def _available(deployment: Object) -> bool:
    if deployment["spec"].get("replicas") == 0:
        return True
    conditions = deployment.get("status", {}).get("conditions", [])
    return any(one["type"] == "Available" and one["status"] == "True" for one in conditions)


def _set(conditions: dict[str, Object], kind: str, state: str, reason: str, now: datetime) -> None:
    if conditions.get(kind, {}).get("status") != state:
        moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions[kind] = {"type": kind, "status": state, "reason": reason, "lastTransitionTime": moment}


def _labels(milvus: Object) -> dict[str, str]:
    return {
        "app.kubernetes.io/instance": milvus["metadata"]["name"],
        "app.kubernetes.io/name": "milvus",
        "app.kubernetes.io/managed-by": "milvus-operator",
    }


def _owned(milvus: Object, name: str, labels: dict[str, str]) -> Object:
    metadata = milvus["metadata"]
    owner = {"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "name": name,
        "namespace": metadata["namespace"],
        "labels": labels,
        "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
    }


def _deployment(milvus: Object, component: str, slot: str, count: int, image: str) -> Object:
    labels = _labels(milvus) | {"app.kubernetes.io/component": component}
    if slot:
        labels["milvus.io/querynode-group-id"] = slot
    container = {"name": component, "image": image, "ports": [{"name": "metrics", "containerPort": 9091}]}
    name = "-".join(part for part in (milvus["metadata"]["name"], "milvus", component, slot) if part)
    pod = {"terminationGracePeriodSeconds": GRACE_PERIOD_SECONDS, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _owned(milvus, name, labels),
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
