"""What the stand-in makes of a Milvus object: defaults, names, labels, Deployments, ConfigMap, Service, status."""

from __future__ import annotations

import copy
from datetime import datetime

import yaml

from tests.standin.kube import Object
from tests.standin.rolling import GENERATION_ANNOTATION, SLOT_ANNOTATION, SLOT_LABEL, active_slot, is_rolling

FINALIZER = "milvus.milvus.io/finalizer"
PAUSE_ANNOTATION = "milvus.io/pause-reconcile"
COMPONENTS = {"proxy": "proxy", "mixCoord": "mixcoord", "dataNode": "datanode", "indexNode": "indexnode"}
STANDALONE = {"standalone": "standalone"}
COORDINATORS = ("rootCoord", "dataCoord", "indexCoord", "queryCoord")
DUMMY_IMAGE = "dummy"  # of the slot that has not been used yet
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


def deployments(milvus: Object, image: str) -> dict[str, Object]:
    """All Deployments by name, with the counts they should have; -1 stays -1 (nobody of ours sets it)."""
    components = milvus["spec"]["components"]
    made = {}
    for field, component in (COMPONENTS | STANDALONE).items():
        one = _deployment(milvus, component, "", components[field]["replicas"], image)
        made[one["metadata"]["name"]] = one
    for slot in ("0", "1"):
        count = components["queryNode"]["replicas"] if slot == active_slot(milvus) else 0
        one = _deployment(milvus, "querynode", slot, count, image if slot == active_slot(milvus) else DUMMY_IMAGE)
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
    words = ("False", "MilvusComponentsUpdating") if is_rolling(milvus) else ("True", "MilvusComponentsUpdated")
    _set(conditions, "MilvusUpdated", *words, now)
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


def query_node_template(milvus: Object, slot: str, image: str) -> Object:
    """The pod template of a QueryNode slot: what the component says goes before what all components are told.

    Labels, annotations and environment are put together, an affinity or a spread of the component stands alone.
    """
    every = milvus["spec"]["components"]
    own = every["queryNode"]
    template = _template(_labels(milvus) | {"app.kubernetes.io/component": "querynode", SLOT_LABEL: slot}, image)
    template["metadata"]["labels"] = own.get("podLabels", {}) | template["metadata"]["labels"]
    template["metadata"]["annotations"] = dict(own.get("podAnnotations", {}))
    for name in ("affinity", "topologySpreadConstraints"):
        if own.get(name, every.get(name)) is not None:
            template["spec"][name] = own.get(name, every.get(name))
    container = template["spec"]["containers"][0]
    container |= {name: own[name] for name in ("env", "resources") if own.get(name)}
    return template


def with_template(deployment: Object, template: Object, generation: int) -> Object:
    """The Deployment of a slot with another template, and the generation of the Milvus object that it is of."""
    written = copy.deepcopy(deployment)
    written["spec"]["template"] = copy.deepcopy(template)
    written["spec"]["template"]["metadata"]["labels"][SLOT_LABEL] = deployment["metadata"]["labels"][SLOT_LABEL]
    written["metadata"].setdefault("annotations", {})[GENERATION_ANNOTATION] = str(generation)
    return written


def _template(labels: dict[str, str], image: str) -> Object:
    component = labels["app.kubernetes.io/component"]
    container = {"name": component, "image": image, "ports": [{"name": "metrics", "containerPort": 9091}]}
    pod = {"terminationGracePeriodSeconds": GRACE_PERIOD_SECONDS, "containers": [container]}
    return {"metadata": {"labels": labels}, "spec": pod}


def _deployment(milvus: Object, component: str, slot: str, count: int, image: str) -> Object:
    labels = _labels(milvus) | {"app.kubernetes.io/component": component}
    if slot:
        labels[SLOT_LABEL] = slot
    name = "-".join(part for part in (milvus["metadata"]["name"], "milvus", component, slot) if part)
    template = query_node_template(milvus, slot, image) if slot else _template(labels, image)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _owned(milvus, name, labels),
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template,
        },
    }
