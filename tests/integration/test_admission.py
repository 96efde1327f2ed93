"""Who may do what with policies and plans, asked of a real API server by real users with their own credentials.

Every refusal stands beside the request that differs from it in one thing and passes. Two layers answer: the roles of
the chart, and its ValidatingAdmissionPolicy, which also holds for those whose roles would allow all of it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from kubernetes import client, config

from milvus_tuning import api
from tests.cluster.pki import Authority, Identity
from tests.integration.admission_requests import (
    AN_APPROVER,
    APPROVING,
    BEYOND_THE_DEFAULTS,
    BOUNDS,
    ELSEWHERE,
    FREE,
    GROUP_VERSION,
    IN_FORCE,
    MAKING_PLANS,
    METADATA_OF_POLICIES,
    MODES,
    NEEDS,
    NOT_AN_APPROVER,
    OUTSIDE,
    PLAN_METADATA,
    READING,
    WATCHED,
    WINDOWS,
    Request,
    new_policy,
    policy,
)
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
HOME = "operator"
RELEASE = "tuning"
NAME = f"{RELEASE}-milvus-tuning-operator"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
_numbers = itertools.count(1)

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
