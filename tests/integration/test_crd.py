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
from tests.integration.specs import ADMITTED, PROMETHEUS, REFUSED, query_nodes

pytestmark = pytest.mark.usefixtures("crd")


def create(server: Api, namespace: str, tuning: Object, **query: str) -> Object:
    created: Object = server.call("POST", COLLECTION.format(namespace=namespace), tuning, **query)
    return created


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


@pytest.mark.parametrize("spec", ADMITTED)
def test_admitted(server: Api, namespace: str, spec: Object) -> None:
    created = create(server, namespace, a_tuning(spec), fieldValidation="Strict")
    api.MilvusTuningSpec.model_validate(created["spec"])


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
