"""What a real API server makes of the generated CRD: what it admits, refuses and in which words, fills in and shows."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from milvus_tuning import api
from tests.integration.conftest import (
    COLLECTION,
    PLANS,
    Api,
    Object,
    Refused,
    a_plan,
    a_tuning,
    apply_crd,
    eventually,
    wait_for_crd,
)

pytestmark = pytest.mark.usefixtures("crd")

PROMETHEUS: Object = {"url": "http://prometheus.monitoring:9090"}
COUNTS: Object = {"minCount": 2, "maxCount": 4}


def create(server: Api, namespace: str, tuning: Object, **query: str) -> Object:
    created: Object = server.call("POST", COLLECTION.format(namespace=namespace), tuning, **query)
    return created


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


def refusal(server: Api, method: str, path: str, body: Object, **query: str) -> str:
    """The words with which the API server refuses the call."""
    with pytest.raises(Refused) as caught:
        server.call(method, path, body, **query)
    return str(caught.value)


@pytest.mark.parametrize(
    ("plural", "short_name"), [(api.PLURAL, api.SHORT_NAME), (api.PLAN_PLURAL, api.PLAN_SHORT_NAME)]
)
def test_the_crd_is_established_with_its_names_and_without_complaints(
    server: Api, plural: str, short_name: str
) -> None:
    crd = wait_for_crd(server, plural)
    conditions = {entry["type"]: entry["status"] for entry in crd["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}  # NonStructuralSchema would be a third
    assert crd["status"]["acceptedNames"]["shortNames"] == [short_name]
    assert crd["status"]["storedVersions"] == [api.VERSION]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="a target alone"),
        pytest.param({"targetRef": {"kind": "Milvus", "name": "my-release"}}, id="a Milvus resource"),
        pytest.param(
            {"targetRef": {"kind": "Milvus", "name": "my-release"}, "configDelivery": "MilvusResource"},
            id="a Milvus resource that keys go to",
        ),
        pytest.param({"configDelivery": "Etcd"}, id="keys that go to etcd"),
        pytest.param(
            {"targetRef": {"kind": "HelmRelease", "name": "a.b-1", "allowHelmOwnedFields": True}}, id="opt-in"
        ),
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
    ],
)
def test_admitted(server: Api, namespace: str, spec: Object) -> None:
    created = create(server, namespace, a_tuning(spec), fieldValidation="Strict")
    api.MilvusTuningSpec.model_validate(created["spec"])


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


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_refused(server: Api, namespace: str, spec: Object, message: str) -> None:
    tuning = a_tuning(spec)
    if tuning["spec"]["targetRef"] is None:
        del tuning["spec"]["targetRef"]
    path = COLLECTION.format(namespace=namespace)
    assert message in refusal(server, "POST", path, tuning, fieldValidation="Strict")


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_what_the_api_server_refuses_the_operator_refuses_too(spec: Object, message: str) -> None:
    with pytest.raises(ValidationError):
        api.MilvusTuningSpec.model_validate(a_tuning(spec)["spec"])


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"kind": "HelmRelease", "name": "another"}, id="name"),
        pytest.param({"kind": "Milvus", "name": "my-release"}, id="kind"),
    ],
)
def test_the_target_cannot_be_exchanged(server: Api, namespace: str, changed: Object) -> None:
    create(server, namespace, a_tuning())
    message = refusal(
        server, "PATCH", f"{COLLECTION.format(namespace=namespace)}/rag", {"spec": {"targetRef": changed}}
    )
    assert "targetRef is immutable: delete the MilvusTuning and create another one" in message


def test_the_rest_of_the_target_and_of_the_spec_can_be_changed(server: Api, namespace: str) -> None:
    create(server, namespace, a_tuning(query_nodes()))
    change = {"targetRef": {"allowHelmOwnedFields": True}, "queryNodes": {"maxCount": 9}, "mode": "Auto"}
    changed = server.call("PATCH", f"{COLLECTION.format(namespace=namespace)}/rag", {"spec": change})
    assert changed["spec"]["targetRef"]["allowHelmOwnedFields"] is True
    assert (changed["spec"]["queryNodes"]["maxCount"], changed["metadata"]["generation"]) == (9, 2)


def test_a_field_that_nobody_knows_is_dropped_where_the_client_did_not_ask_for_strictness(
    server: Api, namespace: str
) -> None:
    created = create(server, namespace, a_tuning({"colour": {"name": "RAG"}}), fieldValidation="Ignore")
    assert "colour" not in created["spec"]


def test_a_target_alone_stays_alone(server: Api, namespace: str) -> None:
    created = create(server, namespace, a_tuning())
    assert created["spec"] == {
        "targetRef": {"kind": "HelmRelease", "name": "my-release"},
        "mode": "Observe",
        "paused": False,
    }


def test_a_declared_block_is_filled_with_the_models_own_defaults_and_no_other_block_appears(
    server: Api, namespace: str
) -> None:
    created = create(
        server, namespace, a_tuning(query_nodes() | {"approval": {}, "objectives": {}, "loadBalancing": {}})
    )
    parsed = api.MilvusTuningSpec.model_validate(a_tuning(query_nodes())["spec"])
    assert parsed.query_nodes is not None
    assert created["spec"]["queryNodes"] == parsed.query_nodes.model_dump(by_alias=True, mode="json", exclude_none=True)
    assert created["spec"]["connections"] == {
        "prometheus": PROMETHEUS | {"labels": {"pod": "pod", "namespace": "namespace"}}
    }
    assert created["spec"]["approval"] == APPROVAL
    assert created["spec"]["objectives"] == {"nodeImbalancePercent": 20}
    assert created["spec"]["loadBalancing"] == {}


APPROVAL = {"automatic": {"maxRisk": "Medium", "maxNodesAdded": 2, "maxActionsPerHour": 6}, "expiryMinutes": 60}
"""What an empty approval block is filled with."""

STATUS: Object = {
    "observedGeneration": 1,
    "phase": "Steady",
    "lastAction": "ScaleQueryNodes 2 -> 3",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "AsExpected",
            "message": "",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
            "observedGeneration": 1,
        }
    ],
    "observed": {
        "dataTime": "2026-01-02T03:04:05Z",
        "milvusVersion": "2.3.5",
        "nodes": "2/3",
        "replicas": 1,
        "capacityPercent": 41,
        "computationPercent": 63,
        "skewPercent": 7,
        "p99Milliseconds": 85,
        "searchesPerSecond": 120,
    },
    "heat": {
        "errorPercent": 10,
        "skewPercent": 45,
        "collections": [
            {
                "database": "default",
                "name": "products",
                "coresThousandths": 310,
                "sharePercent": 60,
                "busiestPod": "qn-0",
            }
        ],
        "segments": [
            {
                "segment": "451",
                "database": "default",
                "collection": "products",
                "pod": "qn-0",
                "rows": 5000,
                "coresThousandths": 71,
            }
        ],
    },
    "pingPong": [{"database": "default", "name": "products", "moves": 8, "netZeroPercent": 100, "returnSeconds": 120}],
    "decision": {"reason": "ComputationAboveTarget", "message": "", "inputs": {"computation": "63", "capacity": None}},
}


def test_status_is_a_subresource_that_keeps_what_the_model_writes(server: Api, namespace: str) -> None:
    created = create(server, namespace, a_tuning() | {"status": STATUS})
    assert "status" not in created
    path = f"{COLLECTION.format(namespace=namespace)}/rag"
    server.call("PUT", f"{path}/status", created | {"status": STATUS, "spec": a_tuning({"mode": "Auto"})["spec"]})
    stored = server.call("GET", path)
    assert stored["status"] == STATUS
    assert (stored["spec"]["mode"], stored["metadata"]["generation"]) == ("Observe", 1)
    api.MilvusTuningStatus.model_validate(stored["status"])


def test_status_with_a_stale_version_is_refused(server: Api, namespace: str) -> None:
    created = create(server, namespace, a_tuning())
    path = f"{COLLECTION.format(namespace=namespace)}/rag/status"
    server.call("PUT", path, created | {"status": {"phase": "Steady"}})
    assert "the object has been modified" in refusal(server, "PUT", path, created | {"status": {"phase": "Acting"}})


def table(server: Api, namespace: str) -> tuple[list[Object], list[Any]]:
    """What kubectl get prints: columns and the cells of the first row."""
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    answer = server.call("GET", COLLECTION.format(namespace=namespace), accept=accept)
    return answer["columnDefinitions"], answer["rows"][0]["cells"]


def test_kubectl_get_shows_the_columns_that_people_ask_for(server: Api, namespace: str) -> None:
    created = create(server, namespace, a_tuning())
    path = f"{COLLECTION.format(namespace=namespace)}/rag/status"
    server.call("PUT", path, created | {"status": STATUS})
    columns, cells = table(server, namespace)
    shown = {column["name"]: cell for column, cell in zip(columns, cells, strict=True) if not column["priority"]}
    assert shown.pop("Age")
    assert shown == {
        "Name": "rag",
        "Mode": "Observe",
        "Phase": "Steady",
        "Nodes": "2/3",
        "Repl": 1,
        "Cap%": 41,
        "Comp%": 63,
        "Skew%": 7,
        "P99ms": 85,
        "Last-Action": "ScaleQueryNodes 2 -> 3",
    }
    wide = {column["name"] for column in columns if column["priority"]}
    assert wide == {"Target", "QPS", "Reason", "Version", "Data-Time"}


def test_an_object_of_an_older_crd_lives_on_under_the_new_one(server: Api, namespace: str, crd: Object) -> None:
    new = {key: crd[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": crd["metadata"]["name"]}}
    old = copy.deepcopy(new)
    schema = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del schema["properties"]["approval"]
    apply_crd(server, old)
    try:
        create(server, namespace, a_tuning())
    finally:
        apply_crd(server, new)
    path = f"{COLLECTION.format(namespace=namespace)}/rag"
    assert server.call("GET", path)["spec"]["targetRef"]["name"] == "my-release"

    def accepted() -> Object | None:  # the new schema is served a moment after it is stored
        approval: Object | None = server.call("PATCH", path, {"spec": {"approval": {}}})["spec"].get("approval")
        return approval

    assert eventually(accepted) == APPROVAL


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of everything in a document that is no map and no list."""
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, inner in entries for leaf in leaves(inner, (*path, key))]
    return [path]


def with_another(document: Object, path: tuple[str | int, ...]) -> Object:
    """The document with one leaf changed to another value of its type."""
    changed = copy.deepcopy(document)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    before = place[path[-1]]
    others = {"Medium": "High", "2026-01-02T03:04:05Z": "2026-01-02T03:04:06Z", None: "x"}
    others["2026-01-02T04:04:05Z"] = "2026-01-02T05:04:05Z"
    place[path[-1]] = before + 1 if isinstance(before, int) else others.get(before, f"{before}-x")
    return changed


def create_plan(server: Api, namespace: str, plan: Object) -> Object:
    created: Object = server.call("POST", PLANS.format(namespace=namespace), plan, fieldValidation="Strict")
    return created


CHANGE = a_plan()["spec"]["change"]


def described(path: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in path)


@pytest.mark.parametrize("path", leaves(CHANGE), ids=described)
def test_no_leaf_of_a_plans_change_can_be_changed(server: Api, namespace: str, path: tuple[str | int, ...]) -> None:
    created = create_plan(server, namespace, a_plan())
    changed = created | {"spec": {"change": with_another(created["spec"]["change"], path)}}
    message = refusal(server, "PUT", f"{PLANS.format(namespace=namespace)}/{created['metadata']['name']}", changed)
    assert "spec.change is frozen: what was approved is what runs" in message


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"predicted": {"memoryHeadroomPercent": 5}}, id="a field more"),
        pytest.param({"predicted": {"nodeCountAfter": None}}, id="a field less"),
        pytest.param({"risk": {"reasons": []}}, id="an entry less"),
        pytest.param({"steps": CHANGE["steps"] * 2}, id="a step more"),
    ],
)
def test_nothing_is_added_to_a_plans_change_or_taken_from_it(server: Api, namespace: str, changed: Object) -> None:
    name = create_plan(server, namespace, a_plan())["metadata"]["name"]
    message = refusal(server, "PATCH", f"{PLANS.format(namespace=namespace)}/{name}", {"spec": {"change": changed}})
    assert "spec.change is frozen" in message


def test_a_plan_without_a_change_is_refused_from_the_first_to_the_last(server: Api, namespace: str) -> None:
    path = PLANS.format(namespace=namespace)
    assert "spec.change: Required value" in refusal(server, "POST", path, a_plan() | {"spec": {}})
    name = create_plan(server, namespace, a_plan())["metadata"]["name"]
    assert "spec.change: Required value" in refusal(server, "PATCH", f"{path}/{name}", {"spec": {"change": None}})


def test_the_word_on_a_plan_and_its_labels_can_be_changed(server: Api, namespace: str) -> None:
    name = create_plan(server, namespace, a_plan())["metadata"]["name"]
    path = f"{PLANS.format(namespace=namespace)}/{name}"
    for vote in api.PlanVote:
        answer = server.call("PATCH", path, {"spec": {"approval": {"decision": vote, "by": "jane", "reason": "fine"}}})
        assert answer["spec"]["approval"] == {"decision": vote, "by": "jane", "reason": "fine"}
        api.MilvusTuningPlanSpec.model_validate(answer["spec"])
    message = refusal(server, "PATCH", path, {"spec": {"approval": {"decision": "Maybe"}}})
    assert 'Unsupported value: "Maybe": supported values: "Approved", "Rejected", "Cancelled"' in message
    assert "approval" not in server.call("PATCH", path, {"spec": {"approval": None}})["spec"]


PLAN_STATUS: Object = {
    "phase": "Finished",
    "approval": "jane",
    "approvedAt": "2026-01-02T03:05:00Z",
    "steps": [{"kind": "ScaleQueryNodes", "state": "Done", "action": {"replicas": "3", "revision": None}}],
    "measured": {"before": {"endedAt": "2026-01-02T03:05:00Z", "windowSeconds": 180, "meanMicroseconds": 4100}},
    "verdict": "Kept",
    "finishedAt": "2026-01-02T03:15:00Z",
}


def test_the_status_of_a_plan_is_a_subresource_and_shows_in_its_columns(server: Api, namespace: str) -> None:
    created = create_plan(server, namespace, a_plan())
    path = f"{PLANS.format(namespace=namespace)}/{created['metadata']['name']}"
    server.call(
        "PUT", f"{path}/status", created | {"status": PLAN_STATUS, "spec": {"change": CHANGE | {"sequence": 9}}}
    )
    stored = server.call("GET", path)
    assert (stored["status"], stored["spec"]) == (PLAN_STATUS, created["spec"])
    api.MilvusTuningPlanStatus.model_validate(stored["status"])
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    answer = server.call("GET", PLANS.format(namespace=namespace), accept=accept)
    shown = dict(zip([each["name"] for each in answer["columnDefinitions"]], answer["rows"][0]["cells"], strict=True))
    assert shown.pop("Age")
    assert shown.pop("Expires")
    assert shown == {
        "Name": created["metadata"]["name"],
        "Policy": "rag",
        "Phase": "Finished",
        "Risk": "Medium",
        "Reason": "ComputationAboveTarget",
        "Change": CHANGE["message"],
        "Verdict": "Kept",
        "Approval": "jane",
    }


def test_the_largest_plan_fits_into_what_the_api_server_takes(server: Api, namespace: str) -> None:
    """The rule over the whole change is priced by the API server at the size of the object, not only of the schema."""
    plan = a_plan()
    step = plan["spec"]["change"]["steps"][0]
    large = {f"fact{number}": "x" * 1024 for number in range(10)}
    plan["spec"]["change"]["steps"] = [
        step | dict.fromkeys(("precondition", "action", "verification", "undo"), large)
    ] * 10
    name = create_plan(server, namespace, plan)["metadata"]["name"]
    body = {"spec": {"approval": {"decision": "Approved"}}}
    answer = server.call("PATCH", f"{PLANS.format(namespace=namespace)}/{name}", body)
    assert answer["spec"]["approval"] == {"decision": "Approved"}
