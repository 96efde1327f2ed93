"""The stand-in behaves as milvus-operator does where it matters to a tuner, and our writes live with it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from kubernetes.client import ApiClient, ApiException, AppsV1Api

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply import ApplyContext, perform, release_replicas
from milvus_tuning.snapshot import WorkloadKind
from tests.apply.builders import a_context, a_scale
from tests.apply.objects import MILVUS, Object, Objects, a_milvus, owners
from tests.standin.__main__ import install_crd
from tests.standin.kube import FIELD_MANAGER as OPERATOR
from tests.standin.kube import Kube
from tests.standin.operator import StandIn

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration
REPLICAS = ("spec", "components", "queryNode", "replicas")
SLOTS = ("my-release-milvus-querynode-0", "my-release-milvus-querynode-1")


@dataclass
class Bench:
    """A Milvus object, the stand-in that runs it, and a clock in the test's hand."""

    api_client: ApiClient
    namespace: str
    seconds: float = 0.0

    def __post_init__(self) -> None:
        kube = Kube(self.api_client)
        install_crd(kube)
        self.milvuses = Objects(self.api_client, self.namespace, MILVUS)
        self.standin = StandIn(kube, self.namespace, image="pause", step_seconds=15, monotonic=lambda: self.seconds)

    def run(self, passes: int = 4) -> None:
        for _ in range(passes):
            self.standin.run_pass()

    def milvus(self) -> Object:
        return self.milvuses.read("my-release")

    def slots(self) -> tuple[int, ...]:
        api = AppsV1Api(self.api_client)
        found = (api.read_namespaced_deployment(name, self.namespace) for name in SLOTS)
        return tuple(one.spec.replicas or 0 for one in found if one.spec)

    def set_slot(self, count: int) -> None:
        AppsV1Api(self.api_client).patch_namespaced_deployment_scale(
            SLOTS[0], self.namespace, {"spec": {"replicas": count}}
        )

    def context(self) -> ApplyContext:
        return a_context(
            api_client=self.api_client, namespace=self.namespace, kind=WorkloadKind.MILVUS, name="my-release"
        )


@pytest.fixture
def bench(api_client: ApiClient, namespace: str) -> Bench:
    """A Milvus cluster of two QueryNodes that has settled."""
    bench = Bench(api_client, namespace)
    bench.milvuses.create(a_milvus(query_node={"replicas": 2, "podLabels": {"team": "search"}}), manager="kubectl")
    bench.run()
    return bench


def test_defaults_are_written_back_by_update_as_manager(bench: Bench) -> None:
    bench.milvuses.create(a_milvus("other"), manager="kubectl")
    bench.run()
    other = bench.milvuses.read("other")
    assert other["spec"]["components"]["queryNode"]["replicas"] == 1
    assert owners(other, *REPLICAS) == {(OPERATOR, "Update")}
    assert other["spec"]["config"]["queryCoord"]["enableActiveStandby"] is True
    assert other["metadata"]["finalizers"] == ["milvus.milvus.io/finalizer"]
    assert other["metadata"]["generation"] == 2


def test_there_are_two_slots_and_one_is_used(bench: Bench) -> None:
    assert bench.slots() == (2, 0)
    assert bench.milvus()["status"]["observedGeneration"] == bench.milvus()["metadata"]["generation"]


def test_out_at_once_and_in_by_one_step(bench: Bench) -> None:
    seen = []
    bench.milvuses.merge("my-release", {"spec": {"components": {"queryNode": {"replicas": 5}}}}, manager="kubectl")
    bench.run(1)
    seen.append(bench.slots()[0])
    bench.milvuses.merge("my-release", {"spec": {"components": {"queryNode": {"replicas": 3}}}}, manager="kubectl")
    for _ in range(3):
        bench.run(3)
        seen.append(bench.slots()[0])
        bench.seconds += 16
    assert seen == [5, 4, 3, 3]


def test_a_count_that_somebody_wrote_on_the_deployment_is_put_back(bench: Bench) -> None:
    bench.set_slot(4)
    for _ in range(2):
        bench.run(1)
        bench.seconds += 16
    assert bench.slots() == (2, 0)


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"spec": {"components": {"queryNode": {"replicas": -1}}}}, id="replicas -1"),
        pytest.param({"metadata": {"annotations": {"milvus.io/pause-reconcile": "true"}}}, id="paused"),
    ],
)
def test_a_deployment_can_be_left_to_others(bench: Bench, patch: Object) -> None:
    bench.milvuses.merge("my-release", patch, manager="kubectl")
    bench.set_slot(4)
    bench.run()
    assert bench.slots() == (4, 0)


def test_it_is_unhealthy_while_pods_are_missing(bench: Bench) -> None:
    status = bench.milvus()["status"]
    conditions = {entry["type"]: entry["status"] for entry in status["conditions"]}
    assert (conditions["MilvusReady"], conditions["MilvusUpdated"]) == ("False", "True")


def test_deletion_takes_the_deployments_along(bench: Bench) -> None:
    bench.milvuses.delete("my-release")
    bench.run()
    with pytest.raises(ApiException, match="404"):
        bench.milvus()
    assert AppsV1Api(bench.api_client).list_namespaced_deployment(bench.namespace).items == []


def test_our_count_survives_its_passes_and_the_deployment_follows(bench: Bench) -> None:
    perform(a_scale(2, 3), undo=False, context=bench.context())
    bench.run(6)
    assert bench.slots() == (3, 0)
    assert owners(bench.milvus(), *REPLICAS) == {(FIELD_MANAGER, "Apply")}
    only_ours = [entry for entry in bench.milvus()["metadata"]["managedFields"] if entry["manager"] == FIELD_MANAGER]
    assert [entry["fieldsV1"] for entry in only_ours] == [
        {"f:spec": {"f:components": {"f:queryNode": {"f:replicas": {}}}}}
    ]


def test_an_apply_without_force_conflicts_with_whoever_set_the_count(bench: Bench) -> None:
    with pytest.raises(ApiException, match="kubectl"):
        bench.milvuses.apply(a_milvus(query_node={"replicas": 3}), manager=FIELD_MANAGER)


def test_after_our_release_the_count_stays_as_it_is(bench: Bench) -> None:
    perform(a_scale(2, 3), undo=False, context=bench.context())
    release_replicas(bench.context())
    bench.run(6)
    assert bench.slots() == (3, 0)
    assert bench.milvus()["spec"]["components"]["queryNode"]["replicas"] == 3


def test_giving_up_the_field_by_apply_would_leave_one_query_node(bench: Bench) -> None:
    perform(a_scale(2, 3), undo=False, context=bench.context())
    bare = {"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "metadata": {"name": "my-release"}}
    bench.milvuses.apply(bare, manager=FIELD_MANAGER)
    bench.run()
    assert bench.milvus()["spec"]["components"]["queryNode"]["replicas"] == 1
