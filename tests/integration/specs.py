"""Specs that the generated CRD is to admit, and those that it is to refuse, with the words for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Object

PROMETHEUS: Object = {"url": "http://prometheus.monitoring:9090"}
COUNTS: Object = {"minCount": 2, "maxCount": 4}


def query_nodes(**fields: Any) -> Object:
    return {"connections": {"prometheus": PROMETHEUS}, "queryNodes": COUNTS | fields}


def measured(**fields: Any) -> Object:
    """What needs a Prometheus, with one."""
    return {"connections": {"prometheus": PROMETHEUS}} | fields


def replicas(**fields: Any) -> Object:
    return measured(inMemoryReplicas={"maxCount": 2} | fields)


def hot_segments(**fields: Any) -> Object:
    return {"loadBalancing": {"hotSegments": fields}}


def window(**fields: Any) -> Object:
    base = {"name": "night", "schedule": "0 2 * * *", "durationMinutes": 60, "allows": ["ScaleIn"]}
    return {"maintenanceWindows": [base | fields]}


def two_windows(first: str, second: str) -> Object:
    return {
        "maintenanceWindows": [*window(name=first)["maintenanceWindows"], *window(name=second)["maintenanceWindows"]]
    }


ADMITTED = [
    pytest.param({}, id="a target alone"),
    pytest.param({"targetRef": {"kind": "Milvus", "name": "my-release"}}, id="a Milvus resource"),
    pytest.param(
        {"targetRef": {"kind": "Milvus", "name": "my-release"}, "configDelivery": "MilvusResource"},
        id="a Milvus resource that keys go to",
    ),
    pytest.param({"configDelivery": "Etcd"}, id="keys that go to etcd"),
    pytest.param({"targetRef": {"kind": "HelmRelease", "name": "a.b-1", "allowHelmOwnedFields": True}}, id="opt-in"),
    pytest.param(query_nodes(), id="bounds with a Prometheus"),
    pytest.param(query_nodes(minCount=3, maxCount=3), id="minCount equal to maxCount"),
    pytest.param({"mode": "Auto", "paused": True}, id="mode and pause"),
    pytest.param({"mode": "Propose"}, id="mode Propose"),
    pytest.param({"approval": {"automatic": {"maxRisk": "High", "maxMoves": 0}}}, id="bounds of mode Auto"),
    pytest.param({"approval": {"approvedPlans": ["rag-0123456789"], "expiryMinutes": 5}}, id="an approved plan"),
    pytest.param({"verification": {"windowSeconds": 60, "settleSeconds": 0}}, id="verification"),
    pytest.param(window(), id="a maintenance window"),
    pytest.param(window(schedule="*/15 0-6,22 1 JAN-MAR MON#1"), id="a schedule with every sign of cron"),
    pytest.param(window(schedule="0  2 *  * 6"), id="a schedule in columns"),
    pytest.param(window(timeZone="America/Argentina/Buenos_Aires"), id="a time zone of three parts"),
    pytest.param(window(timeZone="Etc/GMT+5"), id="a time zone with a sign"),
    pytest.param(two_windows("night", "day"), id="two maintenance windows"),
    pytest.param(query_nodes(override={"count": 1, "expiresAt": "2026-01-02T15:04:05Z"}), id="an override"),
    pytest.param(
        query_nodes(override={"count": 9, "expiresAt": "2026-01-02T15:04:05.5+01:00"}),
        id="an override in another zone",
    ),
    pytest.param({"loadBalancing": {}}, id="an empty block"),
    pytest.param(measured(**hot_segments()), id="hot segments with a Prometheus"),
    pytest.param(hot_segments(mode="Off"), id="hot segments off, without a Prometheus"),
    pytest.param(
        measured(**hot_segments(mode="Act", excludeCollections=[{"name": "a"}, {"database": "b", "name": "a"}])),
        id="collections of one name in two databases",
    ),
    pytest.param({"loadBalancing": {"pingPong": "Damp", "placementOwner": "Milvus"}}, id="ping-pong damped"),
    pytest.param(replicas(), id="a maximum of replicas"),
    pytest.param(replicas(minCount=2), id="as many replicas at least as at most"),
    pytest.param(
        replicas(computationBelowPercent=59, computationAbovePercent=60), id="replica thresholds side by side"
    ),
    pytest.param(
        replicas(collections=[{"name": "a", "minCount": 3, "maxCount": 3}, {"name": "b", "maxCount": 1}]),
        id="collections with bounds of their own",
    ),
    pytest.param(window(allows=["MoveSegments", "SetReplicaNumber"]), id="a window for moves and replicas"),
    pytest.param({"connections": {"prometheus": PROMETHEUS | {"matchers": {"cluster": "eu-1"}}}}, id="matchers"),
    pytest.param(
        {"connections": {"etcd": {"endpoints": ["etcd-0:2379", "https://etcd-1:2379"], "rootPath": "by-dev"}}},
        id="etcd addresses with and without scheme",
    ),
]

REFUSED = [
    pytest.param({"targetRef": None}, "spec.targetRef: Required value", id="no target"),
    pytest.param(
        {"targetRef": {"kind": "HelmRelease"}}, "spec.targetRef.name: Required value", id="a target without name"
    ),
    pytest.param(
        {"targetRef": {"kind": "Deployment", "name": "x"}},
        'spec.targetRef.kind: Unsupported value: "Deployment": supported values: "Milvus", "HelmRelease"',
        id="a kind that is no target",
    ),
    pytest.param(
        {"targetRef": {"kind": "Milvus", "name": "Rag_1"}}, "spec.targetRef.name in body should match", id="a name"
    ),
    pytest.param(
        {"targetRef": {"kind": "Milvus", "name": "x", "allowHelmOwnedFields": True}},
        "allowHelmOwnedFields goes with kind HelmRelease only",
        id="a Helm switch on a Milvus resource",
    ),
    pytest.param(
        {"configDelivery": "MilvusResource"},
        "configDelivery MilvusResource needs targetRef.kind Milvus: a Helm release has no Milvus object",
        id="the road of a Milvus object for a Helm release",
    ),
    pytest.param(
        {"targetRef": [{"kind": "Milvus", "name": "a"}, {"kind": "Milvus", "name": "b"}]},
        'unknown field "spec.targetRef[1].kind"',
        id="two targets",
    ),
    pytest.param(
        {"mode": "Manual"}, 'Unsupported value: "Manual": supported values: "Observe", "Propose", "Auto"', id="a mode"
    ),
    pytest.param({"paused": "yes"}, "spec.paused in body must be of type boolean", id="text for a boolean"),
    pytest.param(
        {"queryNodes": COUNTS},
        "queryNodes needs connections.prometheus: the number of QueryNodes is decided from its series",
        id="bounds without a Prometheus",
    ),
    pytest.param(
        {"queryNodes": COUNTS, "connections": {"milvus": {}}},
        "queryNodes needs connections.prometheus",
        id="bounds with another connection only",
    ),
    pytest.param(
        hot_segments(),
        "loadBalancing.hotSegments needs connections.prometheus: heat is estimated from its series",
        id="hot segments without a Prometheus",
    ),
    pytest.param(
        hot_segments(mode="Act") | {"connections": {"milvus": {}}},
        "loadBalancing.hotSegments needs connections.prometheus",
        id="hot segments with another connection only",
    ),
    pytest.param(
        measured(**hot_segments(maxMovesPerPlan=1)),
        "maxMovesPerPlan in body should be greater than or equal to 2",
        id="half a swap",
    ),
    pytest.param(
        measured(**hot_segments(excludeCollections=[{"name": "a"}, {"database": "default", "name": "a"}])),
        "Duplicate value",
        id="a collection twice, once without its database",
    ),
    pytest.param(
        {"inMemoryReplicas": {"maxCount": 2}},
        "inMemoryReplicas needs connections.prometheus: the number of replicas is decided from its series",
        id="replicas without a Prometheus",
    ),
    pytest.param(replicas(minCount=3), "minCount must not be above maxCount", id="replicas: minCount above maxCount"),
    pytest.param(measured(inMemoryReplicas={}), "maxCount: Required value", id="replicas without a maximum"),
    pytest.param(replicas(maxCount=21), "should be less than or equal to 20", id="21 replicas"),
    pytest.param(
        replicas(computationBelowPercent=60),
        "computationBelowPercent must be below computationAbovePercent, or the number would swing",
        id="replicas shrink where they grow by default",
    ),
    *[
        pytest.param(
            replicas(collections=[{"name": "products"} | bounds]),
            "a collection's minCount must not be above its maxCount",
            id=f"a collection with {bounds}",
        )
        for bounds in ({"minCount": 2, "maxCount": 1}, {"minCount": 3})
    ],
    pytest.param(
        replicas(minCount=2, collections=[{"name": "products", "maxCount": 1}]),
        "a collection's minCount must not be above its maxCount",
        id="a collection with a maxCount below everybody's minCount",
    ),
    pytest.param(
        replicas(collections=[{"name": "a", "minCount": 1}, {"name": "a", "maxCount": 2}]),
        "Duplicate value",
        id="bounds for one collection twice",
    ),
    pytest.param(query_nodes(minCount=5), "minCount must not be above maxCount", id="minCount above maxCount"),
    pytest.param(
        query_nodes(minCount=0), "spec.queryNodes.minCount in body should be greater than or equal to 1", id="0"
    ),
    pytest.param(
        query_nodes(maxCount=1001), "spec.queryNodes.maxCount in body should be less than or equal to 1000", id="1001"
    ),
    pytest.param(
        query_nodes(scaleIn={"computationBelowPercent": 60}),
        "scaleIn.computationBelowPercent must be below scaleOut.computationAbovePercent, or the count would swing",
        id="scale-in where scale-out begins by default",
    ),
    pytest.param(
        query_nodes(scaleIn={"capacityBelowPercent": 70}, scaleOut={"capacityAbovePercent": 65}),
        "scaleIn.capacityBelowPercent must be below scaleOut.capacityAbovePercent, or the count would swing",
        id="capacity thresholds crossed",
    ),
    pytest.param(
        query_nodes(scaleOut={"readyDeadlineSeconds": 5}),
        "spec.queryNodes.scaleOut.readyDeadlineSeconds in body should be greater than or equal to 10",
        id="a deadline of 5 s",
    ),
    pytest.param(query_nodes(tolerancePercent=2.5), "must be of type integer", id="a fraction"),
    pytest.param(
        {"approval": {"automatic": {"maxActionsPerHour": 61}}},
        "spec.approval.automatic.maxActionsPerHour in body should be less than or equal to 60",
        id="61 actions an hour",
    ),
    pytest.param(
        {"approval": {"automatic": {"maxRisk": "None"}}},
        'Unsupported value: "None": supported values: "Low", "Medium", "High"',
        id="a risk",
    ),
    pytest.param(
        {"approval": {"approvedPlans": ["Rag_1"]}}, "spec.approval.approvedPlans[0] in body should match", id="a plan"
    ),
    *[
        pytest.param(window(schedule=schedule), "schedule must be five cron fields", id=f"schedule {schedule}")
        for schedule in ("0 2 * * * *", "0 2 * * *; ", "0 2\t* * *", "@midnight", "0 2 * * ?", " 0 2 * * *")
    ],
    pytest.param(window(schedule="0 2 * *"), "schedule in body should be at least 9 chars long", id="four fields"),
    *[
        pytest.param(window(timeZone=zone), "timeZone must be an IANA name", id=f"time zone {zone}")
        for zone in ("+02:00", "Europe/", "../../etc/passwd", "Europe Berlin")
    ],
    pytest.param(window(allows=[]), "allows in body should have at least 1 items", id="a window that allows nothing"),
    pytest.param(window(allows=["Reboot"]), 'Unsupported value: "Reboot"', id="a window for what is never done"),
    pytest.param(window(durationMinutes=0), "should be greater than or equal to 1", id="a window of no time"),
    pytest.param(two_windows("night", "night"), "Duplicate value", id="two windows of one name"),
    *[
        pytest.param(
            query_nodes(override={"count": 3, "expiresAt": time}),
            "expiresAt in body must be of type date-time",
            id=f"an override until {time}",
        )
        for time in ("tomorrow", "2026-01-02", "2026-01-02T15:04:05")
    ],
    pytest.param(query_nodes(override={"count": 3}), "expiresAt: Required value", id="an override without end"),
    pytest.param(
        {"connections": {"prometheus": {"url": "http://user:secret@prometheus:9090"}}},
        "spec.connections.prometheus.url in body should match",
        id="a password in an address",
    ),
    pytest.param(
        {"connections": {"prometheus": PROMETHEUS | {"matchers": {"a-b": "x"}}}},
        "each key must have at most 128 characters and match ^[a-zA-Z_][a-zA-Z0-9_]*$",
        id="a matcher that is no label",
    ),
    pytest.param(
        {"connections": {"etcd": {"endpoints": []}}},
        "spec.connections.etcd.endpoints in body should have at least 1 items",
        id="no etcd address in a list of them",
    ),
    pytest.param(
        {"connections": {"milvus": {"credentialsSecretRef": {"name": "s", "key": "k", "namespace": "other"}}}},
        'unknown field "spec.connections.milvus.credentialsSecretRef.namespace"',
        id="a Secret of another namespace",
    ),
    pytest.param(
        {"targetRef": {"kind": "Milvus", "name": "x", "namespace": "other"}},
        'unknown field "spec.targetRef.namespace"',
        id="a target of another namespace",
    ),
    pytest.param({"queryNode": {}}, 'unknown field "spec.queryNode"', id="a misspelt block"),
]
