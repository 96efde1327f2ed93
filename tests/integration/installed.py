"""The recorded Milvus release on a real API server, dressed as a Milvus resource that the stand-in runs."""

from __future__ import annotations

from copy import deepcopy

from kubernetes.client import ApiClient

from tests.apply.objects import MILVUS, Objects, a_milvus
from tests.integration.conftest import Api
from tests.integration.release import DEPLOYMENT, Release
from tests.observe.world import DEPLOYMENTS, PODS, REPLICA_SETS, SERVICES, World
from tests.standin.__main__ import install_crd
from tests.standin.kube import Kube
from tests.standin.operator import StandIn

SLOT = "my-release-milvus-querynode-0"
LIVE = {"type": "Available", "status": "True"}


class Installed(Release):
    """A Milvus resource that the stand-in of milvus-operator runs, with the recorded pods in its Deployments."""

    def __init__(self, *, server: Api, namespace: str, world: World, api_client: ApiClient) -> None:
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
            self.run_the_operator()
            for found in self.server.call("GET", self.path(DEPLOYMENTS))["items"]:
                count = found["spec"]["replicas"]
                names = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
                status = {**dict.fromkeys(names, count), "observedGeneration": 0, "conditions": [LIVE]}
                self.write_status(f"{self.path(DEPLOYMENTS)}/{found['metadata']['name']}", status)

    def run_the_operator(self) -> None:
        """One pass of milvus-operator."""
        self._standin.run_pass()

    @property
    def deployment_path(self) -> str:
        """Of the QueryNodes: the live slot."""
        return f"{self.path(DEPLOYMENTS)}/{SLOT}"

    def slot_count(self) -> int:
        """The replicas of the live slot."""
        return int(self.server.call("GET", self.deployment_path)["spec"]["replicas"])

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
