"""The deletion cost is put on exactly the pod that was decided on, and what was there before comes back."""

from __future__ import annotations

import pytest
from kubernetes.client import ApiClient, CoreV1Api, V1Container, V1ObjectMeta, V1Pod, V1PodSpec, V1ServiceAccount

from milvus_tuning.apply import ApplyContext, PreconditionChanged, perform
from milvus_tuning.apply.pods import DELETION_COST_ANNOTATION
from tests.apply.builders import a_context, a_mark

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration


class Pod:
    """A pod that nobody runs."""

    def __init__(self, api_client: ApiClient, namespace: str) -> None:
        self._api, self._namespace = CoreV1Api(api_client), namespace
        self.context: ApplyContext = a_context(api_client=api_client, namespace=namespace)
        service_account = V1ServiceAccount(metadata=V1ObjectMeta(name="default"))  # no controller makes it here
        self._api.create_namespaced_service_account(namespace, service_account)
        self.uid = self.create()

    def create(self) -> str:
        spec = V1PodSpec(
            containers=[V1Container(name="querynode", image="pause")],
            automount_service_account_token=False,
        )
        made = self._api.create_namespaced_pod(
            self._namespace, V1Pod(metadata=V1ObjectMeta(name="querynode-0", annotations={"kept": "yes"}), spec=spec)
        )
        assert made.metadata is not None
        return str(made.metadata.uid)

    def delete(self) -> None:
        self._api.delete_namespaced_pod("querynode-0", self._namespace, grace_period_seconds=0)

    def mark(self, cost: int) -> None:
        body = {"metadata": {"annotations": {DELETION_COST_ANNOTATION: str(cost)}}}
        self._api.patch_namespaced_pod("querynode-0", self._namespace, body)

    @property
    def cost(self) -> str | None:
        metadata = self._api.read_namespaced_pod("querynode-0", self._namespace).metadata
        assert metadata is not None
        annotations = metadata.annotations or {}
        assert annotations["kept"] == "yes"
        return annotations.get(DELETION_COST_ANNOTATION)


@pytest.fixture
def pod(api_client: ApiClient, namespace: str) -> Pod:
    """A QueryNode's pod without a mark."""
    return Pod(api_client, namespace)


def test_the_pod_is_marked_once(pod: Pod) -> None:
    perform(a_mark("querynode-0", pod.uid), undo=False, context=pod.context)
    assert "already" in perform(a_mark("querynode-0", pod.uid), undo=False, context=pod.context)
    assert pod.cost == "-2147483647"


@pytest.mark.parametrize("before", [None, 100], ids=["no mark", "a mark of the user"])
def test_undo_brings_back_what_was_there(pod: Pod, before: int | None) -> None:
    if before is not None:
        pod.mark(before)
    step = a_mark("querynode-0", pod.uid, before=before)
    perform(step, undo=False, context=pod.context)
    perform(step, undo=True, context=pod.context)
    assert pod.cost == (None if before is None else str(before))


def test_another_pod_of_the_same_name_is_not_marked(pod: Pod) -> None:
    step = a_mark("querynode-0", pod.uid)
    pod.delete()
    pod.create()
    with pytest.raises(PreconditionChanged, match="gone"):
        perform(step, undo=False, context=pod.context)
    assert pod.cost is None


def test_undo_on_a_pod_that_is_gone_is_done(pod: Pod) -> None:
    pod.delete()
    assert "gone" in perform(a_mark("querynode-0", pod.uid), undo=True, context=pod.context)


@pytest.mark.parametrize("undo", [False, True], ids=["do", "undo"])
def test_a_mark_that_somebody_set_meanwhile_stays(pod: Pod, *, undo: bool) -> None:
    pod.mark(7)
    with pytest.raises(PreconditionChanged, match="somebody else"):
        perform(a_mark("querynode-0", pod.uid), undo=undo, context=pod.context)
    assert pod.cost == "7"
