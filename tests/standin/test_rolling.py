"""The stand-in replaces QueryNodes as milvus-operator does: from one slot to the other, and only for a new template."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import ApiClient, AppsV1Api, CoreV1Api, V1Deployment

from milvus_tuning.apply import perform
from milvus_tuning.catalogue import zone_terms
from tests.apply.builders import a_scheduling
from tests.apply.objects import Object, a_milvus
from tests.standin.rolling import GENERATION_ANNOTATION, ROLLING_LABEL, SLOT_ANNOTATION, SLOT_LABEL
from tests.standin.test_standin import SLOTS, Bench

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration
SPREAD = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]
AFFINITY = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": zone_terms("WithProxies", "my-release")}}


class Rolling(Bench):
    """The same with Deployments that do what they are asked for as soon as `settle` is called."""

    def deployment(self, slot: int) -> V1Deployment:
        return AppsV1Api(self.api_client).read_namespaced_deployment(SLOTS[slot], self.namespace)

    def settle(self) -> None:
        api = AppsV1Api(self.api_client)
        for name in SLOTS:
            found = api.read_namespaced_deployment(name, self.namespace)
            assert found.spec is not None
            assert found.metadata is not None
            names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
            status: Object = dict.fromkeys(names, found.spec.replicas)
            status["observedGeneration"] = found.metadata.generation
            api.patch_namespaced_deployment_status(name, self.namespace, {"status": status})

    def declare(self, **query_node: object) -> None:
        self.milvuses.merge("my-release", {"spec": {"components": {"queryNode": query_node}}}, manager="kubectl")

    def roll(self, most: int = 20) -> list[tuple[int, ...]]:
        """Passes with everything settled in between until nothing rolls; the counts of the slots as they changed."""
        seen = [self.slots()]
        for _ in range(most):
            self.settle()
            self.run(1)
            if self.slots() != seen[-1]:
                seen.append(self.slots())
            if self.rolling_id() is None and len(seen) > 1:
                return seen
        return seen

    def rolling_id(self) -> str | None:
        found: str | None = self.milvus()["metadata"].get("labels", {}).get(ROLLING_LABEL)
        return found

    def current(self) -> str:
        return str(self.milvus()["metadata"]["annotations"][SLOT_ANNOTATION])

    def updated(self) -> str:
        conditions = self.milvus()["status"]["conditions"]
        return next(str(one["status"]) for one in conditions if one["type"] == "MilvusUpdated")


@pytest.fixture
def bench(api_client: ApiClient, namespace: str) -> Rolling:
    """A Milvus cluster of two QueryNodes that has settled."""
    bench = Rolling(api_client, namespace)
    bench.milvuses.create(a_milvus(query_node={"replicas": 2}), manager="kubectl")
    bench.run()
    bench.settle()
    bench.run(1)
    return bench


def test_one_more_on_the_new_slot_then_one_less_on_the_old(bench: Rolling) -> None:
    bench.declare(podAnnotations={"team": "search"})
    assert bench.roll() == [(2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
    assert (bench.current(), bench.rolling_id(), bench.updated()) == ("1", None, "True")


def test_a_roll_is_marked_from_its_first_pass_on(bench: Rolling) -> None:
    bench.declare(podAnnotations={"team": "search"})
    bench.run(1)
    generation = str(bench.milvus()["metadata"]["generation"])
    assert (bench.current(), bench.rolling_id(), bench.updated(), bench.slots()) == ("1", generation, "False", (2, 0))
    metadata = bench.deployment(1).metadata
    assert metadata is not None
    assert (metadata.annotations or {})[GENERATION_ANNOTATION] == generation


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"affinity": AFFINITY}, id="affinity"),
        pytest.param({"topologySpreadConstraints": SPREAD}, id="spread"),
        pytest.param({"env": [{"name": "GOGC", "value": "50"}]}, id="environment"),
        pytest.param({"podLabels": {"team": "search"}}, id="labels"),
        pytest.param({"resources": {"requests": {"cpu": "1"}}}, id="requests"),
    ],
)
def test_these_change_the_template(bench: Rolling, change: Object) -> None:
    bench.declare(**change)
    bench.run(1)
    assert bench.rolling_id() is not None


def test_an_unchanged_template_replaces_nothing(bench: Rolling) -> None:
    bench.milvuses.merge("my-release", {"spec": {"config": {"queryNode": {"gracefulTime": 1}}}}, manager="kubectl")
    bench.declare(replicas=3)
    bench.run(4)
    assert (bench.current(), bench.rolling_id(), bench.slots()) == ("0", None, (3, 0))


def test_other_limits_bring_the_new_slot_to_its_full_count_first(bench: Rolling) -> None:
    bench.declare(resources={"limits": {"memory": "8Gi"}})
    assert bench.roll() == [(2, 0), (2, 2), (1, 2), (0, 2)]


def test_nothing_is_taken_away_before_the_new_pod_is_there(bench: Rolling) -> None:
    bench.declare(podAnnotations={"team": "search"})
    bench.run(1)
    bench.settle()
    bench.run(6)  # nobody settles: the new pod is Pending
    assert (bench.slots(), bench.rolling_id() is not None) == ((2, 1), True)


def test_a_smaller_count_waits_for_the_end_of_the_roll(bench: Rolling) -> None:
    bench.declare(podAnnotations={"team": "search"})
    for _ in range(3):
        bench.settle()
        bench.run(1)
    before = bench.slots()
    bench.declare(replicas=1)
    assert before == (1, 1)
    assert bench.roll()[-1] == (0, 1)


def test_the_roll_is_over_with_the_last_pod_of_the_old_slot(bench: Rolling) -> None:
    container = {"name": "querynode", "image": "pause"}
    labels = {
        "app.kubernetes.io/instance": "my-release",
        "app.kubernetes.io/component": "querynode",
        SLOT_LABEL: "0",
    }
    pod: Any = {"metadata": {"name": "drains", "labels": labels}, "spec": {"containers": [container]}}
    core = CoreV1Api(bench.api_client)
    account: Any = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    core.create_namespaced_service_account(bench.namespace, account)
    core.create_namespaced_pod(bench.namespace, pod)
    bench.declare(podAnnotations={"team": "search"})
    assert bench.roll(12)[-1] == (0, 2)
    assert bench.rolling_id() is not None
    core.delete_namespaced_pod("drains", bench.namespace, grace_period_seconds=0)
    bench.settle()
    bench.run(1)
    assert bench.rolling_id() is None


def test_the_former_template_turns_a_roll_round(bench: Rolling) -> None:
    bench.declare(podLabels={"team": "search"})
    for _ in range(2):
        bench.settle()
        bench.run(1)
    assert (bench.slots(), bench.current()) == ((2, 1), "1")
    bench.declare(podLabels=None)
    assert bench.roll()[-1] == (2, 0)
    assert bench.current() == "0"


def test_our_preference_replaces_them_and_its_undoing_turns_that_round(bench: Rolling) -> None:
    step = a_scheduling(None, "WithProxies")
    perform(step, undo=False, context=bench.context())
    bench.run(1)
    assert bench.roll()[-1] == (0, 2)
    template = bench.deployment(1).spec
    assert template is not None
    assert template.template.spec is not None
    found = template.template.spec.affinity
    assert found is not None
    assert found.model_dump(by_alias=True, exclude_none=True) == AFFINITY
    perform(step, undo=True, context=bench.context())
    assert bench.roll()[-1] == (2, 0)
    assert "affinity" not in bench.milvus()["spec"]["components"]["queryNode"]
