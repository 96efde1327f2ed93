"""The admission probe: what counts as a policy in force, how long an answer is believed, when nothing can be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.client import ApiClient, Configuration

from milvus_tuning.api.plan import MilvusTuningPlanSpec
from milvus_tuning.clients.admission import AdmissionProbe, probe_plan
from milvus_tuning.errors import ObserveError
from tests.clients.http_server import Asked, Reply, a_server

REFUSAL = (
    "milvustuningplans.milvustuning.io \"admission-probe\" is forbidden: ValidatingAdmissionPolicy 'plans' with "
    "binding 'plans' denied request: the admission policy is in force; no plan may be named admission-probe"
)
RBAC = 'milvustuningplans.milvustuning.io is forbidden: User "x" cannot create resource "milvustuningplans"'


def a_status(code: int, message: str) -> Reply:
    return Reply(status=code, body={"kind": "Status", "status": "Failure", "code": code, "message": message})


GUARDED = a_status(403, REFUSAL)
ADMITTED = Reply(status=201, body=probe_plan())


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def a_probe(address: str, clock: Callable[[], float] | None = None) -> AdmissionProbe:
    configuration = Configuration(host=address)
    configuration.retries = 0
    return AdmissionProbe(ApiClient(configuration), timeout_seconds=2, clock_monotonic=clock or Clock())


@pytest.mark.parametrize(
    ("reply", "in_force"),
    [
        pytest.param(GUARDED, True, id="refused by the policy"),
        pytest.param(a_status(422, REFUSAL), True, id="refused by it with another code"),
        pytest.param(ADMITTED, False, id="admitted"),
        pytest.param(a_status(403, RBAC), False, id="no right to create plans"),
        pytest.param(a_status(403, "denied by another policy"), False, id="refused by another policy"),
        pytest.param(a_status(404, "the server could not find the requested resource"), False, id="no such kind"),
        pytest.param(a_status(409, "already exists"), False, id="a plan of that name exists"),
        pytest.param(a_status(422, "spec.change.steps: Required value"), False, id="another schema"),
        pytest.param(Reply(status=403, body="plain text"), False, id="no Status in the answer"),
        pytest.param(Reply(status=403, body=["a list"]), False, id="a list in the answer"),
    ],
)
def test_only_the_policys_own_refusal_counts(reply: Reply, in_force: bool) -> None:
    with a_server(lambda _: reply) as (address, _):
        assert a_probe(address).in_force("milvus") == in_force


def test_the_probe_is_a_dry_run_of_a_valid_plan_in_that_namespace() -> None:
    with a_server(lambda _: GUARDED) as (address, asked):
        a_probe(address).in_force("milvus")
    (request,) = asked
    assert (request.method, request.path) == (
        "POST",
        "/apis/milvustuning.io/v1alpha1/namespaces/milvus/milvustuningplans",
    )
    assert "dryRun=All" in request.query.split("&")
    sent: dict[str, Any] = json.loads(request.body)
    assert sent["metadata"] == {"name": "admission-probe"}
    MilvusTuningPlanSpec.model_validate(sent["spec"])


@pytest.mark.parametrize("code", [429, 500, 503])
def test_trouble_of_the_api_server_is_no_answer(code: int) -> None:
    with (
        a_server(lambda _: a_status(code, "etcdserver: request timed out")) as (address, _),
        pytest.raises(ObserveError, match=rf"namespace milvus: {code} etcdserver"),
    ):
        a_probe(address).in_force("milvus")


def test_an_api_server_that_is_not_there_is_no_answer() -> None:
    with a_server(lambda _: GUARDED) as (address, _):
        pass
    with pytest.raises(ObserveError, match="whether the admission policy is in force in namespace milvus"):
        a_probe(address).in_force("milvus")


@pytest.mark.parametrize(
    ("first", "then", "after_seconds", "answer", "requests"),
    [
        pytest.param(GUARDED, ADMITTED, 599, True, 1, id="in force is believed for ten minutes"),
        pytest.param(GUARDED, ADMITTED, 600, False, 2, id="and then asked again"),
        pytest.param(ADMITTED, GUARDED, 19, False, 1, id="not in force is believed for 20 seconds"),
        pytest.param(ADMITTED, GUARDED, 20, True, 2, id="and then asked again, soon"),
    ],
)
def test_an_answer_is_believed_for_a_while(
    first: Reply, then: Reply, after_seconds: float, answer: bool, requests: int
) -> None:
    clock, replies = Clock(), [first, then]
    with a_server(lambda _: replies.pop(0)) as (address, asked):
        probe = a_probe(address, clock)
        probe.in_force("milvus")
        clock.seconds += after_seconds
        assert probe.in_force("milvus") == answer
    assert len(asked) == requests


def test_each_namespace_has_its_own_answer() -> None:
    def answer(asked: Asked) -> Reply:
        return GUARDED if "/namespaces/guarded/" in asked.path else ADMITTED

    with a_server(answer) as (address, _):
        probe = a_probe(address)
        assert [probe.in_force(name) for name in ("guarded", "open", "guarded", "open")] == [True, False, True, False]


def test_trouble_is_not_remembered() -> None:
    replies = [a_status(503, "busy"), GUARDED]
    with a_server(lambda _: replies.pop(0)) as (address, _):
        probe = a_probe(address)
        with pytest.raises(ObserveError):
            probe.in_force("milvus")
        assert probe.in_force("milvus")
