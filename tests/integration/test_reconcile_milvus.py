"""A pass over a Milvus resource on a real API server: exactly one leaf is written, and milvus-operator keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest
from kubernetes.client import ApiClient

from milvus_tuning.api import FIELD_MANAGER
from tests.apply.objects import MILVUS, Object, Objects, a_milvus
from tests.integration.bench import Bench, Operator
from tests.integration.conftest import Api, a_namespace
from tests.integration.release import DEPLOYMENT, Release
from tests.observe.world import DEPLOYMENTS, PODS, REPLICA_SETS, SERVICES, World, serving
from tests.standin.__main__ import install_crd
from tests.standin.kube import Kube
from tests.standin.operator import StandIn

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("crd")]
SLOT = "my-release-milvus-querynode-0"
LIVE = {"type": "Available", "status": "True"}


class Installed(Release):
    """A Milvus resource that the stand-in of milvus-operator runs, with the recorded pods in its Deployments."""

    def __init__(self, server: Api, namespace: str, world: World, api_client: ApiClient) -> None:
        super().__init__(server=server, namespace=namespace, world=world)
        kube = Kube(api_client)
        install_crd(kube)
        self.milvuses = Objects(api_client, namespace, MILVUS)
        self._standin = StandIn(kube, namespace, image="pause", step_seconds=0)

    def install(self) -> None:
        self.create_account()
        body = a_milvus(query_node={"replicas": 2})
        body["spec"]["dependencies"] = {"etcd": {"endpoints": ["unused:2379"]}}
        self.milvuses.create(body, manager="kubectl")
        self.let_the_operator_work()
        for item in self.world.kubernetes[SERVICES]["items"][:1]:
            self.create(SERVICES, item)
        self._adopt_pods()

    def let_the_operator_work(self) -> None:
        """Passes of milvus-operator, with all that it asks for made ready in between."""
        for _ in range(4):
            self._standin.run_pass()
            for found in self.server.call("GET", self.path(DEPLOYMENTS))["items"]:
                count = found["spec"]["replicas"]
                names = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
                status = {**dict.fromkeys(names, count), "observedGeneration": 0, "conditions": [LIVE]}
                self.write_status(f"{self.path(DEPLOYMENTS)}/{found['metadata']['name']}", status)

    def slot_count(self) -> int:
        """The replicas of the live slot."""
        return int(self.server.call("GET", f"{self.path(DEPLOYMENTS)}/{SLOT}")["spec"]["replicas"])

    def _adopt_pods(self) -> None:
        for recorded in self.world.kubernetes[DEPLOYMENTS]["items"]:
            name = recorded["metadata"]["name"]
            live = self.server.call("GET", f"{self.path(DEPLOYMENTS)}/{SLOT if name == DEPLOYMENT else name}")
            self.uids[recorded["metadata"]["uid"]] = live["metadata"]["uid"]
        for path in (REPLICA_SETS, PODS):
            for recorded in self.world.kubernetes[path]["items"]:
                item = deepcopy(recorded)
                labels = item["metadata"]["labels"]
                labels["app.kubernetes.io/component"] = labels.pop("component")
                self.create(path, item)


@pytest.fixture
def bench(server: Api, api_client: ApiClient) -> Iterator[Bench]:
    """A Milvus resource with two QueryNodes that serve."""
    world = World(spec={"targetRef": {"kind": "Milvus", "name": "my-release"}})
    world.etcd = {key.replace("by-dev", "my-release"): value for key, value in world.etcd.items()}
    with serving(world):
        release = Installed(server, a_namespace(server, "resource"), world, api_client)
        release.install()
        yield Bench(api_client, release)


def test_the_leaf_is_written_by_forced_apply_and_kept(bench: Bench) -> None:
    release = bench.release
    assert isinstance(release, Installed)
    bench.declare(
        {
            "targetRef": {"kind": "Milvus", "name": "my-release"},
            "mode": "Auto",
            "queryNodes": {"minCount": 3, "maxCount": 5},
        }
    )

    operator = Operator(bench)
    operator.run_pass()
    release.let_the_operator_work()

    milvus = release.milvuses.read("my-release")
    entries = [entry for entry in milvus["metadata"]["managedFields"] if entry["manager"] == FIELD_MANAGER]
    leaf: Object = {"f:spec": {"f:components": {"f:queryNode": {"f:replicas": {}}}}}
    assert [(entry["operation"], entry["fieldsV1"]) for entry in entries] == [("Apply", leaf)]
    assert (milvus["spec"]["components"]["queryNode"]["replicas"], release.slot_count()) == (3, 3)
    outside = [path for method, path in operator.client.writes if method == "PATCH" and "milvustuning" not in path]
    assert outside == [f"/apis/milvus.io/v1beta1/namespaces/{release.namespace}/milvuses/my-release"]
