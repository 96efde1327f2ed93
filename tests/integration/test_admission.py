"""Who may do what with policies and plans, asked of a real API server by real users with their own credentials.

Every refusal stands beside the request that differs from it in one thing and passes. Two layers answer: the roles of
the chart, and its ValidatingAdmissionPolicy, which also holds for those whose roles would allow all of it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from milvus_tuning import api
from tests.cluster.pki import Authority, Identity
from tests.integration.conftest import (
    CHART,
    COLLECTION,
    PLANS,
    Api,
    Object,
    Refused,
    a_namespace,
    a_plan,
    a_tuning,
    eventually,
    wait_for_crd,
)

CONTROLLER_MANAGER = True
HOME, WATCHED, ELSEWHERE = "operator", "milvus", "elsewhere"
RELEASE = "tuning"
NAME = f"{RELEASE}-milvus-tuning-operator"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
GROUP_VERSION = f"{api.GROUP}/{api.VERSION}"

ROLES: Mapping[str, tuple[str, ...]] = {
    "viewer": (f"{NAME}-viewer",),
    "editor": (f"{NAME}-editor",),
    "approver": (f"{NAME}-approver",),
    "lead": (f"{NAME}-editor", f"{NAME}-approver"),
    "owner": ("owner",),  # may write everything of ours in the namespace, and lacks the verb approve alone
    "nobody": (),
}
"""Each user with the ClusterRoles bound to them; the administrator and the operator come besides."""

EVERY_VERB = ["get", "list", "watch", "create", "update", "patch", "delete"]
OWNER_ROLE: Object = {
    "metadata": {"name": "owner"},
    "rules": [
        {
            "apiGroups": [api.GROUP],
            "resources": ["milvustunings", "milvustuningplans", "milvustuningplans/status"],
            "verbs": EVERY_VERB,
        }
    ],
}

RBAC_SAYS = "cannot"
IN_FORCE = "the admission policy is in force"
CREATES, WRITES_STATUS = "creates plans", "writes the status of a plan"
NO_FINALIZERS, NO_LABELS = "changes finalizers and ownerReferences of a plan", "changes labels of a plan"
NEEDS = "needs the verb approve on milvustuningplans"
OWN_NAME = "spec.approval.by must be your own user name"

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def users(server: Api, helm: Callable[..., str], kubeconfig: Path, api_client: client.ApiClient) -> dict[str, Api]:
    """The chart, installed to watch one of three namespaces, its policy in force, and a client for each user."""
    for namespace in (HOME, WATCHED, ELSEWHERE):
        a_namespace(server, namespace)
    helm("install", RELEASE, str(CHART), "--namespace", HOME, "--set", f"watchNamespaces={{{WATCHED}}}")
    for plural in (api.PLURAL, api.PLAN_PLURAL):
        wait_for_crd(server, plural)
    server.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", OWNER_ROLE)
    authority = Authority(folder=kubeconfig.parent.parent / "pki")
    clients = {"administrator": server, "operator": _operator(server, authority, api_client)}
    for name, roles in ROLES.items():
        clients[name] = _person(server, authority, api_client, name, roles)
    eventually(lambda: _in_force(clients["operator"]))
    return clients


def _person(
    server: Api, authority: Authority, administrator: client.ApiClient, name: str, roles: tuple[str, ...]
) -> Api:
    for role in roles:
        for namespace in (WATCHED, ELSEWHERE):
            _bind(server, namespace, name, role)
    text = authority.kubeconfig(Identity(name=name, user=name), server=administrator.configuration.host)
    return Api(_connect(json.loads(text)))


def _operator(server: Api, authority: Authority, administrator: client.ApiClient) -> Api:
    """With a token of its ServiceAccount, as its pod has one."""
    path = f"/api/v1/namespaces/{HOME}/serviceaccounts/{NAME}/token"
    token = server.call("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    text = authority.kubeconfig(Identity(name="operator", user="unused"), server=administrator.configuration.host)
    content = json.loads(text)
    content["users"] = [{"name": "unused", "user": {}}]
    return Api(_connect(content), token=token)


def _connect(content: Object) -> client.ApiClient:
    connect: Callable[..., client.ApiClient] = config.new_client_from_config_dict
    return connect(content)


def _bind(server: Api, namespace: str, user: str, role: str) -> None:
    server.call("POST", f"{RBAC.format(namespace=namespace)}/rolebindings", _binding(user, "ClusterRole", role))


def _binding(user: str, kind: str, role: str) -> Object:
    return {
        "metadata": {"name": f"{user}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def _in_force(operator: Api) -> bool | None:
    """Whether the policy refuses the probe; None while it does not, or while the operator's roles are not there yet."""
    try:
        operator.call("POST", PLANS.format(namespace=WATCHED), a_plan("admission-probe"), dryRun="All")
    except Refused as refused:
        return True if IN_FORCE in str(refused) else None
    return None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A call on an object of the test's own; `{name}` is its name. Before it, the object is made as `given`."""

    method: str = "PATCH"
    path: str = f"{PLANS}/{{name}}"
    body: Object | None = None
    given: Object = field(default_factory=a_plan)
    namespace: str = WATCHED

    def send(self, users: Mapping[str, Api], user: str) -> Any:
        """Make the object, then send the call as this user."""
        name = f"case-{next(_numbers)}"
        self._make(users, name)
        path = self.path.format(namespace=self.namespace, name=name)
        body = self.body if self.method != "POST" else (self.body or {}) | {"metadata": _named(self.body, name)}
        return users[user].call(self.method, path, body)

    def _make(self, users: Mapping[str, Api], name: str) -> None:
        if self.method == "POST":
            return
        plan = self.given["kind"] == api.PLAN_KIND
        # Plans are the operator's to make, and policies of every kind are made by one who may.
        maker = users["operator" if plan and self.namespace == WATCHED else "administrator"]
        body = self.given | {"metadata": _named(self.given, name)}
        maker.call("POST", (PLANS if plan else COLLECTION).format(namespace=self.namespace), body)


def _named(document: Object | None, name: str) -> Object:
    metadata = dict((document or {}).get("metadata", {}))
    return metadata if metadata.get("name") == "admission-probe" else metadata | {"name": name}


Case = tuple[str, Request, str | None]
"""The user, the call, and None where it passes or else a part of the words with which it is refused."""


def table(request: Request, **answers: str | None) -> list[Case]:
    """One row for each user."""
    return [(user, request, answer) for user, answer in answers.items()]


def approval(decision: str = "Approved", **fields: str) -> Request:
    return Request(body={"spec": {"approval": {"decision": decision} | fields}})


def policy(given: Object | None = None, **changed: Any) -> Request:
    """A change of fields of the spec of a MilvusTuning that was made with others."""
    return Request(path=f"{COLLECTION}/{{name}}", given=a_tuning(given), body={"spec": changed})


def new_policy(**spec: Any) -> Request:
    return Request(method="POST", path=COLLECTION, body=a_tuning(spec))


def automatic(**fields: Any) -> Object:
    return {"approval": {"automatic": fields}}


WINDOW: Object = {"name": "night", "schedule": "0 2 * * *", "durationMinutes": 60, "allows": ["ScaleIn"]}
STATUS: Object = {"status": {"phase": "Approved", "approval": "somebody said so"}}
OWNERS = [{"apiVersion": GROUP_VERSION, "kind": api.KIND, "name": "rag", "uid": "0d7c"}]

READING = [
    *table(Request(method="GET"), viewer=None, editor=None, approver=None, operator=None, nobody=RBAC_SAYS),
    *table(
        Request(method="GET", path=f"{COLLECTION}/{{name}}", given=a_tuning()),
        **dict.fromkeys(("viewer", "editor", "approver", "operator")),
        nobody=RBAC_SAYS,
    ),
]

MAKING_PLANS = [
    *table(
        Request(method="POST", path=PLANS, body=a_plan()),
        operator=None,
        owner=CREATES,
        administrator=CREATES,
        **dict.fromkeys(("viewer", "editor", "approver", "nobody"), RBAC_SAYS),
    ),
    *table(
        Request(method="POST", path=PLANS, body=a_plan(approval={"decision": "Approved"})),
        operator=NEEDS,
        administrator=CREATES,
    ),
    *table(
        Request(method="POST", path=PLANS, body=a_plan("admission-probe")),
        operator=IN_FORCE,
        owner=IN_FORCE,
        administrator=IN_FORCE,
    ),
    *table(Request(method="DELETE"), operator=None, owner=None, approver=RBAC_SAYS, editor=RBAC_SAYS),
]

APPROVING = [
    *[
        row
        for decision in api.PlanVote
        for row in table(
            approval(decision),
            approver=None,
            lead=None,
            administrator=None,
            operator=NEEDS,
            owner=NEEDS,
            **dict.fromkeys(("viewer", "editor", "nobody"), RBAC_SAYS),
        )
    ],
    *table(approval(by="approver"), approver=None, lead=OWN_NAME, administrator=OWN_NAME),
    *table(
        Request(
            path=f"{PLANS}/{{name}}",
            body={"spec": {"change": {"message": "another"}}},
        ),
        approver="spec.change is frozen",
        operator="spec.change is frozen",
        administrator="spec.change is frozen",
    ),
]

PLAN_METADATA = [
    *table(
        Request(path=f"{PLANS}/{{name}}/status", body=STATUS),
        operator=None,
        owner=WRITES_STATUS,
        administrator=WRITES_STATUS,
        approver=RBAC_SAYS,
        editor=RBAC_SAYS,
    ),
    *table(
        Request(body={"metadata": {"finalizers": [api.FINALIZER]}}),
        operator=None,
        approver=NO_FINALIZERS,
        owner=NO_FINALIZERS,
        administrator=NO_FINALIZERS,
    ),
    *table(
        Request(
            given=a_plan() | {"metadata": {"finalizers": [api.FINALIZER]}}, body={"metadata": {"finalizers": None}}
        ),
        operator=None,
        approver=NO_FINALIZERS,
    ),
    *table(
        Request(body={"metadata": {"ownerReferences": OWNERS}}),
        operator=None,
        approver=NO_FINALIZERS,
        administrator=NO_FINALIZERS,
    ),
    *table(Request(body={"metadata": {"labels": {"a": "b"}}}), operator=None, approver=NO_LABELS, owner=NO_LABELS),
    *table(
        Request(body={"metadata": {"annotations": {"a": "b"}}}),
        operator=None,
        approver=None,
        owner=None,
        viewer=RBAC_SAYS,
    ),
]

NOT_AN_APPROVER = {"editor": NEEDS, "owner": NEEDS}
AN_APPROVER = {"lead": None, "administrator": None}
HALF_OF_IT = {"approver": RBAC_SAYS, "viewer": RBAC_SAYS, "nobody": RBAC_SAYS}
FREE = {"editor": None, "owner": None, "lead": None}

MODES = [
    *table(new_policy(mode="Auto"), **NOT_AN_APPROVER, **AN_APPROVER, **HALF_OF_IT),
    *table(policy(mode="Auto"), **NOT_AN_APPROVER, **AN_APPROVER, **HALF_OF_IT, operator=NEEDS),
    *table(policy({"mode": "Propose"}, mode="Auto"), **NOT_AN_APPROVER, **AN_APPROVER),
    *table(new_policy(mode="Propose"), **FREE, **HALF_OF_IT),
    *table(policy(mode="Propose"), **FREE, **HALF_OF_IT),
    *table(policy({"mode": "Auto"}, mode="Propose"), **FREE),
    *table(policy({"mode": "Auto"}, paused=True), **FREE, viewer=RBAC_SAYS),
    *table(Request(method="DELETE", path=f"{COLLECTION}/{{name}}", given=a_tuning()), **FREE, approver=RBAC_SAYS),
]

BOUNDS = [
    pytest.param(automatic(maxRisk="High"), automatic(maxRisk="Medium"), id="maxRisk"),
    pytest.param(automatic(maxRisk="Medium"), automatic(maxRisk="Low"), id="maxRisk below the default"),
    pytest.param(automatic(maxNodesAdded=3), automatic(maxNodesAdded=2), id="maxNodesAdded"),
    pytest.param(automatic(maxMoves=9), automatic(maxMoves=8), id="maxMoves"),
    pytest.param(automatic(), automatic(maxMoves=8), id="maxMoves, removed"),
    pytest.param(automatic(maxActionsPerHour=7), automatic(maxActionsPerHour=6), id="maxActionsPerHour"),
    pytest.param({"approval": {"expiryMinutes": 61}}, {"approval": {"expiryMinutes": 60}}, id="expiryMinutes"),
    pytest.param(
        {"approval": {"approvedPlans": ["rag-1", "rag-2"]}}, {"approval": {"approvedPlans": ["rag-2"]}}, id="a plan"
    ),
    pytest.param({}, automatic(maxRisk="Low"), id="maxRisk, by removing the block"),
    pytest.param({}, automatic(maxNodesAdded=0), id="maxNodesAdded, by removing the block"),
    pytest.param({}, automatic(maxActionsPerHour=1), id="maxActionsPerHour, by removing the block"),
    pytest.param({}, {"approval": {"expiryMinutes": 5}}, id="expiryMinutes, by removing the block"),
]
"""Pairs of specs, the wider one first. Each pair differs in one bound."""

BEYOND_THE_DEFAULTS = [
    pytest.param(automatic(maxRisk="High"), automatic(maxRisk="Low"), id="maxRisk"),
    pytest.param(automatic(maxNodesAdded=3), automatic(maxNodesAdded=2), id="maxNodesAdded"),
    pytest.param(automatic(maxActionsPerHour=7), automatic(maxActionsPerHour=6), id="maxActionsPerHour"),
    pytest.param({"approval": {"expiryMinutes": 61}}, {"approval": {"expiryMinutes": 60}}, id="expiryMinutes"),
    pytest.param({"approval": {"approvedPlans": ["rag-1"]}}, {"approval": {"approvedPlans": []}}, id="a plan"),
]

WINDOWS = [
    *table(policy({"mode": "Auto"}, maintenanceWindows=[WINDOW]), **NOT_AN_APPROVER, **AN_APPROVER),
    *table(
        policy({"mode": "Auto", "maintenanceWindows": [WINDOW]}, maintenanceWindows=None),
        **NOT_AN_APPROVER,
        **AN_APPROVER,
    ),
    *table(
        policy({"mode": "Auto", "maintenanceWindows": [WINDOW]}, maintenanceWindows=[WINDOW | {"durationMinutes": 61}]),
        **NOT_AN_APPROVER,
        **AN_APPROVER,
    ),
    *table(policy({"mode": "Auto", "maintenanceWindows": [WINDOW]}, maintenanceWindows=[WINDOW]), **FREE),
    *table(policy({"mode": "Propose"}, maintenanceWindows=[WINDOW]), **FREE),
]

METADATA_OF_POLICIES = [
    *table(
        Request(
            path=f"{COLLECTION}/{{name}}",
            given=a_tuning({"mode": "Auto", "maintenanceWindows": [WINDOW]} | automatic(maxRisk="High")),
            body={"metadata": {"finalizers": [api.FINALIZER], "annotations": {f"{api.GROUP}/last": "{}"}}},
        ),
        operator=None,
        editor=None,
        viewer=RBAC_SAYS,
    ),
    *table(
        Request(
            path=f"{COLLECTION}/{{name}}/status", given=a_tuning({"mode": "Auto"}), body={"status": {"phase": "Steady"}}
        ),
        operator=None,
        editor=RBAC_SAYS,
    ),
]

OUTSIDE = [
    *table(Request(method="POST", path=PLANS, body=a_plan(), namespace=ELSEWHERE), owner=None, operator=RBAC_SAYS),
    *table(Request(method="POST", path=COLLECTION, body=a_tuning({"mode": "Auto"}), namespace=ELSEWHERE), editor=None),
]
"""Where this operator watches nothing, its policy says nothing: another operator's may."""


def words(case: object) -> str | None:
    if isinstance(case, Request):
        what = json.dumps(case.body, sort_keys=True) if case.body else ""
        return f"{case.method} {what}"[:120].replace("/", ".")
    return case if isinstance(case, str) else "passes" if case is None else None


def judge(users: Mapping[str, Api], user: str, request: Request, refusal: str | None) -> None:
    if refusal is None:
        request.send(users, user)
        return
    with pytest.raises(Refused) as refused:
        request.send(users, user)
    assert refusal in str(refused.value)
    assert refused.value.code == (422 if "frozen" in refusal else 403)


@pytest.mark.parametrize(("user", "request_", "refusal"), READING, ids=words)
def test_reading(users: dict[str, Api], user: str, request_: Request, refusal: str | None) -> None:
    judge(users, user, request_, refusal)


@pytest.mark.parametrize(("user", "request_", "refusal"), MAKING_PLANS, ids=words)
def test_plans_are_made_by_the_operator_alone(
    users: dict[str, Api], user: str, request_: Request, refusal: str | None
) -> None:
    judge(users, user, request_, refusal)


@pytest.mark.parametrize(("user", "request_", "refusal"), APPROVING, ids=words)
def test_a_word_on_a_plan_is_for_those_who_may_approve(
    users: dict[str, Api], user: str, request_: Request, refusal: str | None
) -> None:
    judge(users, user, request_, refusal)


@pytest.mark.parametrize(("user", "request_", "refusal"), PLAN_METADATA, ids=words)
def test_the_rest_of_a_plan_is_the_operators(
    users: dict[str, Api], user: str, request_: Request, refusal: str | None
) -> None:
    judge(users, user, request_, refusal)


@pytest.mark.parametrize(("user", "request_", "refusal"), [*MODES, *WINDOWS], ids=words)
def test_mode_auto_and_its_windows_are_for_editors_who_may_approve(
    users: dict[str, Api], user: str, request_: Request, refusal: str | None
) -> None:
    judge(users, user, request_, refusal)


@pytest.mark.parametrize(("wide", "narrow"), BOUNDS)
def test_bounds_are_widened_by_those_who_may_approve_and_narrowed_by_every_editor(
    users: dict[str, Api], wide: Object, narrow: Object
) -> None:
    for user, answer in (NOT_AN_APPROVER | AN_APPROVER).items():
        judge(users, user, _from_to(narrow, wide), answer)
    for user, answer in FREE.items():
        judge(users, user, _from_to(wide, narrow), answer)


def _from_to(before: Object, after: Object) -> Request:
    """From one spec to another, as a merge patch that removes what the new one does not have."""
    return policy(before, **_patch(before, after))


def _patch(before: Object, after: Object) -> Object:
    removed = dict.fromkeys(before.keys() - after.keys())
    return removed | {
        key: _patch(before.get(key, {}), value) if isinstance(value, dict) else value for key, value in after.items()
    }


@pytest.mark.parametrize(("wide", "narrow"), BEYOND_THE_DEFAULTS)
def test_a_new_policy_with_bounds_beyond_the_defaults_needs_one_who_may_approve(
    users: dict[str, Api], wide: Object, narrow: Object
) -> None:
    for user, answer in (NOT_AN_APPROVER | AN_APPROVER).items():
        judge(users, user, new_policy(**wide), answer)
    for user, answer in FREE.items():
        judge(users, user, new_policy(**narrow), answer)


@pytest.mark.parametrize(("user", "request_", "refusal"), METADATA_OF_POLICIES, ids=words)
def test_the_operators_own_writes_to_a_policy_pass(
    users: dict[str, Api], user: str, request_: Request, refusal: str | None
) -> None:
    judge(users, user, request_, refusal)


@pytest.mark.parametrize(("user", "request_", "refusal"), OUTSIDE, ids=words)
def test_the_policy_holds_where_the_operator_watches_and_nowhere_else(
    users: dict[str, Api], user: str, request_: Request, refusal: str | None
) -> None:
    judge(users, user, request_, refusal)


def test_the_operator_may_leave_the_name_of_a_plan_to_the_api_server(users: dict[str, Api]) -> None:
    plan = a_plan() | {"metadata": {"generateName": "rag-"}}
    created = users["operator"].call("POST", PLANS.format(namespace=WATCHED), plan)
    assert created["metadata"]["name"].startswith("rag-")
    voted = a_plan(approval={"decision": "Approved"}) | {"metadata": {"generateName": "rag-"}}
    with pytest.raises(Refused, match=NEEDS):
        users["operator"].call("POST", PLANS.format(namespace=WATCHED), voted)


def test_an_approver_of_one_plan_approves_that_one_and_sets_no_mode(users: dict[str, Api]) -> None:
    mine, other = "only-this", "not-this"
    rule = {"apiGroups": [api.GROUP], "resources": ["milvustuningplans"], "resourceNames": [mine], "verbs": ["approve"]}
    path = RBAC.format(namespace=WATCHED)
    users["administrator"].call("POST", f"{path}/roles", {"metadata": {"name": "of-one"}, "rules": [rule]})
    binding = _binding("owner", "Role", "of-one")
    users["administrator"].call("POST", f"{path}/rolebindings", binding)
    for name in (mine, other):
        users["operator"].call("POST", PLANS.format(namespace=WATCHED), a_plan(name))

    def approve(name: str) -> str:
        body = {"spec": {"approval": {"decision": "Approved"}}}
        try:
            users["owner"].call("PATCH", f"{PLANS.format(namespace=WATCHED)}/{name}", body)
        except Refused as refused:
            return str(refused)
        return ""

    eventually(lambda: None if approve(mine) else True)
    assert NEEDS in approve(other)
    judge(users, "owner", policy(mode="Auto"), NEEDS)


def _owned(users: Mapping[str, Api], name: str) -> None:
    """A MilvusTuning and a plan of it, both of this name."""
    owner = users["editor"].call("POST", COLLECTION.format(namespace=WATCHED), a_tuning(name=name))["metadata"]
    reference = {"apiVersion": GROUP_VERSION, "kind": api.KIND, "name": name, "uid": owner["uid"]}
    plan = a_plan(name)
    plan["metadata"]["ownerReferences"] = [reference | {"controller": True, "blockOwnerDeletion": True}]
    users["operator"].call("POST", PLANS.format(namespace=WATCHED), plan)


@pytest.mark.parametrize(
    ("deleted", "propagation", "left"),
    [
        pytest.param(PLANS, "Foreground", {COLLECTION: 0}, id="a plan, in the foreground"),
        pytest.param(COLLECTION, "Foreground", {}, id="a policy, in the foreground"),
        pytest.param(COLLECTION, "Background", {}, id="a policy, in the background"),
        pytest.param(COLLECTION, "Orphan", {PLANS: 0}, id="a policy, its plans orphaned"),
    ],
)
def test_deletions_come_to_their_end(
    users: dict[str, Api], deleted: str, propagation: str, left: Mapping[str, int]
) -> None:
    """Kubernetes' garbage collector takes finalizers and owners away, which people may not."""
    name = f"collected-{next(_numbers)}"
    _owned(users, name)
    users["owner"].call("DELETE", f"{deleted.format(namespace=WATCHED)}/{name}", propagationPolicy=propagation)

    def found() -> dict[str, int]:
        """The collections that still have the object, with the number of its owners and finalizers."""
        there = {}
        for collection in (COLLECTION, PLANS):
            try:
                metadata = users["viewer"].call("GET", f"{collection.format(namespace=WATCHED)}/{name}")["metadata"]
                there[collection] = len(metadata.get("ownerReferences", [])) + len(metadata.get("finalizers", []))
            except Refused:
                continue
        return there

    eventually(lambda: True if found() == left else None, seconds=60)
