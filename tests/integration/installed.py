"""A Milvus object that the stand-in of milvus-operator runs on a real API server, with pods in its two QueryNode slots.

The test plays the Deployment controller, the scheduler, the kubelet and Milvus: pods come and go after the counts of
the slots, each with what its template says; a new QueryNode registers, and takes over what one that leaves has held.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from copy import deepcopy

from kubernetes.client import ApiClient

from tests.apply.objects import MILVUS, Objects, a_milvus
from tests.faults.stories import without_node
from tests.integration.conftest import Api, Object
from tests.integration.release import DEPLOYMENT, Release
from tests.observe.world import (
    DEPLOYMENTS,
    PODS,
    QUERY_NODE_IPS,
    QUERY_NODE_PODS,
    REPLICA_SETS,
    SERVICES,
    World,
    a_session,
)
from tests.standin.__main__ import install_crd
from tests.standin.kube import Kube
from tests.standin.operator import StandIn
from tests.standin.rolling import ROLLING_LABEL, SLOT_ANNOTATION, SLOT_LABEL

SLOTS = ("my-release-milvus-querynode-0", "my-release-milvus-querynode-1")
ZONE = "topology.kubernetes.io/zone"
PROXY_ZONE, OTHER_ZONE = "zone-a", "zone-b"
GRACE_PERIOD_SECONDS = 2592000
_READY = {"type": "Available", "status": "True"}
_COUNTS = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")


class Installed(Release):
    """A Milvus object with two QueryNodes that serve, at first in slot 0 and in another zone than the proxy."""

    def __init__(
        self, server: Api, namespace: str, world: World, api_client: ApiClient, *, root_path: str = "my-release"
    ) -> None:
        super().__init__(server=server, namespace=namespace, world=world)
        self._root_path = root_path
        kube = Kube(api_client)
        install_crd(kube)
        self.milvuses = Objects(api_client, namespace, MILVUS)
        self._standin = StandIn(kube, namespace, image="pause", step_seconds=0)
        self._numbers = itertools.count(1)
        self.node_ids = {
            f"{one['metadata']['name']}": QUERY_NODE_IPS[one["status"]["podIP"]] for one in self._recorded()
        }

    def install(self) -> None:
        self.create_account()
        body = a_milvus(query_node={"replicas": 2})
        body["spec"]["dependencies"] = {"etcd": {"endpoints": ["unused:2379"]}}
        self.milvuses.create(body, manager="kubectl")
        self.let_the_operator_work(pods=False)
        for item in self.world.kubernetes[SERVICES]["items"][:1]:
            self.create(SERVICES, item)
        self._adopt_pods()

    def let_the_operator_work(self, passes: int = 4, *, pods: bool = True) -> None:
        """Passes of milvus-operator, with all that it asks for made ready in between."""
        for _ in range(passes):
            self._standin.run_pass()
            if pods:
                self.follow()
            for found in self.server.call("GET", self.path(DEPLOYMENTS))["items"]:
                count = found["spec"]["replicas"]
                status = {**dict.fromkeys(_COUNTS, count), "observedGeneration": 0, "conditions": [_READY]}
                self.write_status(f"{self.path(DEPLOYMENTS)}/{found['metadata']['name']}", status)

    def roll(self, most: int = 30) -> None:
        """Passes until milvus-operator has replaced the QueryNodes."""
        for _ in range(most):
            self.let_the_operator_work(1)
            if not self.rolling:
                return
        raise AssertionError(f"still rolling after {most} passes: {self.slots()}")

    @property
    def deployment_path(self) -> str:
        """Of the Milvus object, which asks for the QueryNodes here."""
        return f"/apis/milvus.io/v1beta1/namespaces/{self.namespace}/milvuses/my-release"

    @property
    def count(self) -> int:
        """The QueryNodes that it asks for."""
        return int(self.server.call("GET", self.deployment_path)["spec"]["components"]["queryNode"]["replicas"])

    @property
    def rolling(self) -> bool:
        """Whether milvus-operator says that it rolls."""
        return ROLLING_LABEL in self.milvuses.read("my-release")["metadata"].get("labels", {})

    @property
    def live_slot(self) -> int:
        """The slot that milvus-operator names."""
        return int(self.milvuses.read("my-release")["metadata"]["annotations"][SLOT_ANNOTATION])

    def slots(self) -> tuple[int, ...]:
        """The counts of both slots."""
        found = (self.server.call("GET", f"{self.path(DEPLOYMENTS)}/{name}") for name in SLOTS)
        return tuple(int(one["spec"]["replicas"]) for one in found)

    def query_nodes(self, slot: int | None = None) -> list[Object]:
        """The QueryNode pods, of one slot or of both, in the order of their names."""
        pods = self.server.call("GET", self.path(PODS))["items"]
        wanted = {"0", "1"} if slot is None else {str(slot)}
        return [pod for pod in pods if pod["metadata"]["labels"].get(SLOT_LABEL) in wanted]

    # -- what the test plays ---------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Let pods come and go until each slot has as many as it asks for."""
        for pod in self.query_nodes():
            if pod["metadata"].get("deletionTimestamp"):
                self._leaves(pod)
        for slot, count in enumerate(self.slots()):
            for _ in range(count - len(self.query_nodes(slot))):
                self._arrives(slot)
        for slot, count in enumerate(self.slots()):
            for pod in self.query_nodes(slot)[count:]:
                self._leaves(pod)

    def _arrives(self, slot: int) -> None:
        number = next(self._numbers)
        name, ip, node_id = f"{SLOTS[slot]}-new-{number}", f"127.45.1.{number}", 100 + number
        template = self.server.call("GET", f"{self.path(DEPLOYMENTS)}/{SLOTS[slot]}")["spec"]["template"]
        pod = deepcopy(self.world.item(PODS, QUERY_NODE_PODS[0]))
        pod["metadata"] |= {"name": name, "uid": name, "labels": template["metadata"]["labels"] | {ZONE: PROXY_ZONE}}
        pod["metadata"]["ownerReferences"][0] |= {"name": SLOTS[slot], "uid": self._replica_set(slot)}
        pod["spec"]["terminationGracePeriodSeconds"] = GRACE_PERIOD_SECONDS
        if "affinity" in template["spec"]:
            pod["spec"]["affinity"] = template["spec"]["affinity"]
        pod["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        self.create(PODS, pod)
        self.node_ids[name] = node_id
        self.world.etcd[f"{self._root_path}/meta/session/querynode-{node_id}"] = a_session(node_id, f"{ip}:21123")
        self._measure_like_the_first(name, node_id)

    def _leaves(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        self.server.call("DELETE", f"{self.path(PODS)}/{name}", gracePeriodSeconds="0")
        gone = self.node_ids.pop(name)
        del self.world.etcd[f"{self._root_path}/meta/session/querynode-{gone}"]
        heir = self._without_data() or max(self.node_ids.values())
        for call in ("GetReplicas", "GetQuerySegmentInfo"):
            answer = self.world.milvus[call]
            assert isinstance(answer, Mapping)
            self.world.milvus[call] = without_node(answer, gone, heir)

    def _without_data(self) -> int | None:
        """A QueryNode that has nothing yet."""
        answer = self.world.milvus["GetReplicas"]
        assert isinstance(answer, Mapping)
        holders = {int(one) for replica in answer["replicas"] for one in replica["node_ids"]}
        return next((one for one in self.node_ids.values() if one not in holders), None)

    def _measure_like_the_first(self, name: str, node_id: int) -> None:
        """Prometheus shows for the new pod what it was recorded to show for the first one."""
        for answer in self.world.prometheus.values():
            series = answer["data"]["result"]
            for one in [found for found in series if found["metric"].get("pod") == QUERY_NODE_PODS[0]]:
                labels = one["metric"] | {"pod": name}
                if "node_id" in labels:
                    labels["node_id"] = str(node_id)
                series.append({**one, "metric": labels})

    def _replica_set(self, slot: int) -> str:
        """The key of the slot's ReplicaSet among the uids; it is made when it is needed first."""
        key = f"replica-set-{slot}"
        if key not in self.uids:
            self.uids[f"slot-{slot}"] = self.server.call("GET", f"{self.path(DEPLOYMENTS)}/{SLOTS[slot]}")["metadata"][
                "uid"
            ]
            made = deepcopy(self._of_query_nodes(REPLICA_SETS)[0])
            made["metadata"] |= {"name": SLOTS[slot], "uid": key}
            made["metadata"]["ownerReferences"][0] |= {"name": SLOTS[slot], "uid": f"slot-{slot}"}
            self.create(REPLICA_SETS, made)
        return key

    def _adopt_pods(self) -> None:
        for recorded in self.world.kubernetes[DEPLOYMENTS]["items"]:
            name = recorded["metadata"]["name"]
            live = self.server.call("GET", f"{self.path(DEPLOYMENTS)}/{SLOTS[0] if name == DEPLOYMENT else name}")
            self.uids[recorded["metadata"]["uid"]] = live["metadata"]["uid"]
        for path in (REPLICA_SETS, PODS):
            for recorded in self.world.kubernetes[path]["items"]:
                item = deepcopy(recorded)
                labels = item["metadata"]["labels"]
                component = labels["app.kubernetes.io/component"] = labels.pop("component")
                labels["app.kubernetes.io/managed-by"] = "milvus-operator"
                labels[ZONE] = OTHER_ZONE if component == "querynode" else PROXY_ZONE
                if component == "querynode":
                    labels[SLOT_LABEL] = "0"
                if path == PODS:
                    item["spec"]["terminationGracePeriodSeconds"] = GRACE_PERIOD_SECONDS
                self.create(path, item)

    def _recorded(self) -> list[Object]:
        return self._of_query_nodes(PODS)

    def _of_query_nodes(self, path: str) -> list[Object]:
        items: list[Object] = self.world.kubernetes[path]["items"]
        return [item for item in items if "querynode" in item["metadata"]["name"]]
