"""The recorded Milvus release on a real API server: real objects, no kubelet; who runs it is the test.

Kubernetes keeps Deployments, ReplicaSets and pods, whose status is written as a node and a controller would; Milvus,
Prometheus and etcd answer on the wire from their recordings (tests/observe/world.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client import ApiClient

from tests.integration.conftest import COLLECTION, PLANS, Api, Object
from tests.observe.world import CONFIG_MAP, DEPLOYMENTS, PODS, QUERY_NODE_PODS, REPLICA_SETS, SERVICES, World, a_session

DEPLOYMENT = "my-release-milvus-querynode"
NEW_POD, NEW_NODE_ID, NEW_IP = f"{DEPLOYMENT}-6c855dbf6b-new", 4, "127.45.0.9"
SERVER_FIELDS = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation")


class LoggedClient(ApiClient):
    """A client that keeps the method and path of each request in order."""

    def __init__(self, other: ApiClient) -> None:
        super().__init__(other.configuration)
        self.writes: list[tuple[str, str]] = []

    def call_api(self, method: str, url: str, *arguments: Any, **more: Any) -> Any:
        if method != "GET":
            self.writes.append((method, url.removeprefix(self.configuration.host).partition("?")[0]))
        return super().call_api(method, url, *arguments, **more)

    @property
    def scalings(self) -> list[str]:
        """The writes of a replica count."""
        return [path for _, path in self.writes if path.endswith("/scale")]


@dataclass
class Release:
    """The recorded release in one namespace of the API server."""

    server: Api
    namespace: str
    world: World
    uids: dict[str, str] = field(default_factory=dict)

    def install(self) -> None:
        """Create everything, two QueryNodes ready."""
        self.create_account()
        for path in (SERVICES, DEPLOYMENTS, REPLICA_SETS, PODS):
            for item in self.world.kubernetes[path]["items"]:
                self.create(path, item)
        self.create(CONFIG_MAP.rpartition("/")[0], self.world.kubernetes[CONFIG_MAP])

    def create_account(self) -> None:
        """The ServiceAccount that pods need, which no controller makes here."""
        account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
        self.server.call("POST", f"/api/v1/namespaces/{self.namespace}/serviceaccounts", account)

    def create(self, path: str, recorded: Object) -> None:
        """Create one recorded object with its status; the owners it names must be there already."""
        body = deepcopy(recorded)
        metadata = body["metadata"]
        old_uid = metadata.get("uid")
        for name in SERVER_FIELDS:
            metadata.pop(name, None)
        metadata["namespace"] = self.namespace
        for owner in metadata.get("ownerReferences", []):
            owner["uid"] = self.uids[owner["uid"]]
        for name in ("clusterIP", "clusterIPs"):
            body.get("spec", {}).pop(name, None)
        there = self.path(path)
        made = self.server.call("POST", there, body, fieldManager="chart")
        if old_uid:
            self.uids[old_uid] = made["metadata"]["uid"]
        if path != SERVICES and "status" in recorded:
            self.write_status(f"{there}/{metadata['name']}", deepcopy(recorded["status"]))

    def write_status(self, path: str, status: Object) -> None:
        """Write a status as the controller of the object does."""
        live = self.server.call("GET", path)
        if "observedGeneration" in status:
            status["observedGeneration"] = live["metadata"]["generation"]
        self.server.call("PUT", f"{path}/status", live | {"status": status})

    def path(self, recorded: str) -> str:
        """A recorded path in this namespace."""
        return recorded.replace("/namespaces/milvus/", f"/namespaces/{self.namespace}/")

    @property
    def deployment_path(self) -> str:
        """Of the QueryNodes."""
        return f"{self.path(DEPLOYMENTS)}/{DEPLOYMENT}"

    @property
    def count(self) -> int:
        """The QueryNodes that the Deployment asks for."""
        return int(self.server.call("GET", self.deployment_path)["spec"]["replicas"])

    def a_third_node_arrives(self) -> None:
        """What Kubernetes and Milvus show once a third QueryNode serves."""
        pod = deepcopy(self.world.item(PODS, QUERY_NODE_PODS[0]))
        pod["metadata"] |= {"name": NEW_POD, "uid": "third"}
        pod["status"] |= {"podIP": NEW_IP, "podIPs": [{"ip": NEW_IP}]}
        self.create(PODS, pod)
        status = self.server.call("GET", self.deployment_path)["status"]
        grown = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), 3)
        self.write_status(self.deployment_path, status | grown)
        self.world.etcd[f"by-dev/meta/session/querynode-{NEW_NODE_ID}"] = a_session(NEW_NODE_ID, f"{NEW_IP}:21123")
        said = self.world.prometheus["node_id"]["data"]["result"]
        said.append({"metric": {"pod": NEW_POD, "node_id": str(NEW_NODE_ID)}, "value": said[0]["value"]})

    def tuning(self, name: str = "rag") -> Object:
        """The MilvusTuning as it stands."""
        found: Object = self.server.call("GET", f"{COLLECTION.format(namespace=self.namespace)}/{name}")
        return found

    def plans(self) -> list[Object]:
        """The plans of the namespace, oldest first."""
        found = self.server.call("GET", PLANS.format(namespace=self.namespace))["items"]
        return sorted(found, key=lambda plan: plan["spec"]["change"]["sequence"])

    def plan(self) -> Object:
        """The newest plan."""
        return self.plans()[-1]

    def condition(self, kind: str, name: str = "rag") -> tuple[str, str]:
        """Status and reason of a condition."""
        found = {one["type"]: (one["status"], one["reason"]) for one in self.tuning(name)["status"]["conditions"]}
        return found[kind]


def changes_since(api_client: ApiClient, path: str, resource_version: str) -> list[Object]:
    """Every state of the objects of a collection after a resource version, as the API server's watch tells it."""
    query = f"watch=1&timeoutSeconds=1&resourceVersion={resource_version}"
    url = f"{api_client.configuration.host}{path}?{query}"
    response = api_client.call_api("GET", url, header_params={"Accept": "application/json"})
    read: Callable[[], bytes] = response.read
    return [json.loads(line)["object"] for line in read().decode().splitlines()]
