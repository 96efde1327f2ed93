"""What is asked of the API server in the tests of admission, user by user, and the words with which it is refused."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from milvus_tuning import api
from tests.integration.conftest import (
    COLLECTION,
    PLANS,
    Api,
    Object,
    a_plan,
    a_tuning,
)

WATCHED, ELSEWHERE = "milvus", "elsewhere"
GROUP_VERSION = f"{api.GROUP}/{api.VERSION}"

RBAC_SAYS = "cannot"
IN_FORCE = "the admission policy is in force"
CREATES, WRITES_STATUS = "creates plans", "writes the status of a plan"
NO_FINALIZERS, NO_LABELS = "changes finalizers and ownerReferences of a plan", "changes labels of a plan"
NEEDS = "needs the verb approve on milvustuningplans"
OWN_NAME = "spec.approval.by must be your own user name"

_numbers = itertools.count(1)


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
