"""The pod that the step names is evicted, and no other; a PodDisruptionBudget is heeded."""

from __future__ import annotations

import pytest
from kubernetes.client import (
    ApiClient,
    CoreV1Api,
    PolicyV1Api,
    V1Container,
    V1LabelSelector,
    V1ObjectMeta,
    V1Pod,
    V1PodDisruptionBudget,
    V1PodDisruptionBudgetSpec,
    V1PodSpec,
    V1ServiceAccount,
)

from milvus_tuning.apply import ApplyContext, perform
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Step, StepKind
from tests.apply.builders import a_context

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration
NAME, LABELS = "proxy-0", {"component": "proxy"}
READY = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T12:00:00Z"}]


class Pod:
    """A pod on a machine that does not exist: it stays while it leaves, as no kubelet lets it go."""

    def __init__(self, api_client: ApiClient, namespace: str) -> None:
        self._api, self._budgets, self._namespace = CoreV1Api(api_client), PolicyV1Api(api_client), namespace
        self.context: ApplyContext = a_context(api_client=api_client, namespace=namespace)
        service_account = V1ServiceAccount(metadata=V1ObjectMeta(name="default"))  # no controller makes it here
        self._api.create_namespaced_service_account(namespace, service_account)
        self.uid = self.create()

    def create(self) -> str:
        """A ready one; its uid."""
        container = V1Container(name="proxy", image="pause")
        spec = V1PodSpec(containers=[container], node_name="nowhere", automount_service_account_token=False)
        pod = V1Pod(metadata=V1ObjectMeta(name=NAME, labels=LABELS), spec=spec)
        made = self._api.create_namespaced_pod(self._namespace, pod)
        status = {"phase": "Running", "conditions": READY}
        self._api.patch_namespaced_pod_status(NAME, self._namespace, {"status": status})
        assert made.metadata is not None
        return str(made.metadata.uid)

    def delete(self) -> None:
        self._api.delete_namespaced_pod(NAME, self._namespace, grace_period_seconds=0)

    def guard(self) -> None:
        """A budget that no controller has ever looked at, which allows nothing."""
        rules = V1PodDisruptionBudgetSpec(min_available=1, selector=V1LabelSelector(match_labels=LABELS))
        budget = V1PodDisruptionBudget(metadata=V1ObjectMeta(name="proxies"), spec=rules)
        self._budgets.create_namespaced_pod_disruption_budget(self._namespace, budget)

    @property
    def leaving(self) -> bool:
        metadata = self._api.read_namespaced_pod(NAME, self._namespace).metadata
        assert metadata is not None
        return metadata.deletion_timestamp is not None


@pytest.fixture
def pod(api_client: ApiClient, namespace: str) -> Pod:
    """A pod of the Proxy, without a budget."""
    return Pod(api_client, namespace)


def a_restart(uid: str, *, undo: bool = False) -> Step:
    of: dict[str, str | int | None] = {"component": "Proxy"}
    named = {**of, "pod": NAME, "podUid": uid}
    return Step(
        kind=StepKind.RESTART_COMPONENT,
        precondition={**of, "count": 1},
        action={**(of if undo else named), "when": "Back" if undo else "Forward"},
        verification={**of, "deadlineSeconds": 300},
        undo=named if undo else of,
    )


@pytest.mark.parametrize("undo", [False, True], ids=["forward", "on the way back"])
def test_the_pod_is_told_to_leave_and_asking_again_changes_nothing(pod: Pod, *, undo: bool) -> None:
    for _ in range(2):
        assert "is leaving" in perform(a_restart(pod.uid, undo=undo), undo=undo, context=pod.context)
        assert pod.leaving


def test_a_pod_that_is_gone_is_done(pod: Pod) -> None:
    pod.delete()

    assert "gone already" in perform(a_restart(pod.uid), undo=False, context=pod.context)


def test_another_pod_of_the_same_name_stays(pod: Pod) -> None:
    pod.delete()
    former, pod.uid = pod.uid, pod.create()

    assert "gone already" in perform(a_restart(former), undo=False, context=pod.context)
    assert not pod.leaving


def test_a_budget_that_forbids_it_is_shown_and_asked_again(pod: Pod) -> None:
    pod.guard()

    with pytest.raises(ApplyError, match=r"evicting pod .*proxy-0 .*HTTP 429.*disruption budget") as refused:
        perform(a_restart(pod.uid), undo=False, context=pod.context)

    assert refused.value.retryable
    assert not pod.leaving


def test_a_step_that_names_no_pod_evicts_none(pod: Pod) -> None:
    with pytest.raises(ApplyError, match="no text 'pod'") as refused:
        perform(a_restart(pod.uid, undo=True), undo=False, context=pod.context)

    assert not refused.value.retryable
    assert not pod.leaving


def test_nothing_is_evicted_without_the_lease(pod: Pod, api_client: ApiClient, namespace: str) -> None:
    def lost() -> None:
        raise ApplyError("the Lease is lost", retryable=True)

    context = a_context(api_client=api_client, namespace=namespace, require_lease=lost)
    with pytest.raises(ApplyError, match="Lease"):
        perform(a_restart(pod.uid), undo=False, context=context)

    assert not pod.leaving
