"""The QueryNode count is written through its owner, over exactly what was decided on, on a real API server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kubernetes.client import ApiClient, ApiException

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply import ApplyContext, PreconditionChanged, perform
from milvus_tuning.errors import ApplyError
from milvus_tuning.snapshot import WorkloadKind
from tests.apply.builders import a_context, a_scale, allowed
from tests.apply.objects import APPS, MILVUS, Object, Objects, a_deployment, a_milvus, owners
from tests.standin.__main__ import install_crd
from tests.standin.kube import Kube

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration
REPLICAS = ("spec", "components", "queryNode", "replicas")


class Target:
    """A workload of one of the two kinds, read and written the way of its kind."""

    def __init__(self, api_client: ApiClient, namespace: str, kind: WorkloadKind) -> None:
        self.kind = kind
        self.name = "querynode" if kind is WorkloadKind.DEPLOYMENT else "my-release"
        self.objects = Objects(api_client, namespace, APPS if kind is WorkloadKind.DEPLOYMENT else MILVUS)
        self.path = ("spec", "replicas") if kind is WorkloadKind.DEPLOYMENT else REPLICAS
        body = a_deployment() if kind is WorkloadKind.DEPLOYMENT else a_milvus(query_node={"replicas": 2})
        self.objects.create(body, manager="helm")
        self._api_client, self._namespace = api_client, namespace

    def context(self, require_lease: Callable[[], None] = allowed) -> ApplyContext:
        return a_context(
            api_client=self._api_client,
            namespace=self._namespace,
            kind=self.kind,
            name=self.name,
            require_lease=require_lease,
        )

    @property
    def count(self) -> int:
        found: Object | int = self.objects.read(self.name)
        for part in self.path:
            assert isinstance(found, dict)
            found = found[part]
        assert isinstance(found, int)
        return found

    def set_by_others(self, count: int) -> None:
        body: Object = {self.path[-1]: count}
        for part in reversed(self.path[:-1]):
            body = {part: body}
        self.objects.merge(self.name, body, manager="kubectl-edit")


@pytest.fixture(params=list(WorkloadKind), ids=str)
def target(request: pytest.FixtureRequest, api_client: ApiClient, namespace: str) -> Target:
    """Two QueryNodes, set by somebody else."""
    install_crd(Kube(api_client))
    return Target(api_client, namespace, request.param)


def test_the_count_is_written_and_the_field_is_ours_alone(target: Target) -> None:
    message = perform(a_scale(2, 3), undo=False, context=target.context())
    assert target.count == 3
    assert "from 2 to 3" in message
    body = target.objects.read(target.name)
    assert owners(body, *target.path) == {(FIELD_MANAGER, "Apply")}
    assert len([entry for entry in body["metadata"]["managedFields"] if entry["manager"] == FIELD_MANAGER]) == 1


def test_doing_it_twice_is_doing_it_once(target: Target) -> None:
    perform(a_scale(2, 3), undo=False, context=target.context())
    version = target.objects.read(target.name)["metadata"]["resourceVersion"]
    assert "already" in perform(a_scale(2, 3), undo=False, context=target.context())
    assert target.objects.read(target.name)["metadata"]["resourceVersion"] == version


def test_undo_writes_the_former_count(target: Target) -> None:
    perform(a_scale(2, 3), undo=False, context=target.context())
    perform(a_scale(2, 3), undo=True, context=target.context())
    assert target.count == 2


@pytest.mark.parametrize("undo", [False, True], ids=["do", "undo"])
def test_a_count_that_nobody_decided_on_is_left_alone(target: Target, *, undo: bool) -> None:
    target.set_by_others(5)
    with pytest.raises(PreconditionChanged, match="asks for 5") as caught:
        perform(a_scale(2, 3), undo=undo, context=target.context())
    assert not caught.value.retryable
    assert target.count == 5


def test_a_change_between_read_and_write_is_read_again_and_judged_again(target: Target) -> None:
    calls = iter(range(10))

    def somebody_scales() -> None:
        if next(calls) == 0:
            target.set_by_others(5)

    with pytest.raises(PreconditionChanged, match="asks for 5"):
        perform(a_scale(2, 3), undo=False, context=target.context(somebody_scales))
    assert target.count == 5


def test_a_change_of_something_else_meanwhile_does_not_matter(target: Target) -> None:
    calls = iter(range(10))

    def somebody_labels() -> None:
        if next(calls) == 0:
            target.objects.merge(target.name, {"metadata": {"labels": {"a": "b"}}}, manager="kubectl-edit")

    perform(a_scale(2, 3), undo=False, context=target.context(somebody_labels))
    assert target.count == 3


def test_an_object_that_never_rests_is_given_up_and_tried_again_later(target: Target) -> None:
    calls = iter(range(100))

    def somebody_labels() -> None:
        label = {"metadata": {"labels": {"a": str(next(calls))}}}
        target.objects.merge(target.name, label, manager="kubectl-edit")

    with pytest.raises(ApplyError, match="changed during each") as caught:
        perform(a_scale(2, 3), undo=False, context=target.context(somebody_labels))
    assert caught.value.retryable
    assert target.count == 2


def test_nothing_is_written_without_the_lease_of_the_operator(target: Target) -> None:
    def lost() -> None:
        raise ApplyError("lease lost", retryable=True)

    with pytest.raises(ApplyError, match="lease lost"):
        perform(a_scale(2, 3), undo=False, context=target.context(lost))
    assert target.count == 2


def test_a_target_that_is_gone_is_told(target: Target) -> None:
    target.objects.delete(target.name)
    with pytest.raises(ApplyError, match="HTTP 404") as caught:
        perform(a_scale(2, 3), undo=False, context=target.context())
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("query_node", "words"),
    [
        pytest.param({"replicas": -1}, "autoscaler", id="an autoscaler owns the count"),
        pytest.param({"replicas": 2, "groups": [{"name": "a", "replicas": 2}]}, "groups", id="groups"),
    ],
)
def test_a_milvus_object_whose_count_does_not_count_is_refused(
    api_client: ApiClient, namespace: str, query_node: Object, words: str
) -> None:
    install_crd(Kube(api_client))
    Objects(api_client, namespace, MILVUS).create(a_milvus(query_node=query_node), manager="user")
    context = a_context(api_client=api_client, namespace=namespace, kind=WorkloadKind.MILVUS, name="my-release")
    with pytest.raises(PreconditionChanged, match=words):
        perform(a_scale(2, 3), undo=False, context=context)


def test_an_apply_without_force_meets_a_conflict_with_us(target: Target) -> None:
    perform(a_scale(2, 3), undo=False, context=target.context())
    body = target.objects.read(target.name)
    wanted: Object = {target.path[-1]: 7}
    for part in reversed(target.path[:-1]):
        wanted = {part: wanted}
    body = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {"name": target.name}, **wanted}
    with pytest.raises(ApiException, match=FIELD_MANAGER):
        target.objects.apply(body, manager="argocd")
