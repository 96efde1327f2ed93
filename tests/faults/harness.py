"""One change on real servers, with the operator as a process that dies where the script says.

A real API server and a real etcd keep the state; the test plays what is not there: the Deployment controller and the
kubelet (pods appear and vanish after the replica count), Milvus (its sessions and placement follow the pods) and
Prometheus. The operator reaches both servers through the fault proxy and nothing else.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from milvus_tuning.clients.etcd import Delete, EtcdClient, Put
from milvus_tuning.plan import StepKind
from tests.clients.acting_milvus import ActingMilvus
from tests.faults.ending import TUNING, endings, told
from tests.faults.processes import Starter
from tests.faults.proxy import CRASHES, Play, Script, Upstream
from tests.faults.stories import Story, without_node
from tests.integration.conftest import COLLECTION, Api, Object, Refused
from tests.integration.installed import Installed
from tests.integration.release import NEW_NODE_ID, Release
from tests.observe.world import PODS, PROXY_POD, QUERY_NODE_IPS, QUERY_NODE_PODS, a_session

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SUCCESSORS = 100  # from here on: ids of the Milvus nodes that come after an eviction, and the ends of their addresses
PATIENCE_SECONDS = 60.0
PASSES_AFTERWARDS = 2  # a second effect would come with one of the next passes
POLL_SECONDS = 0.2  # each look costs the API server as much as a call of the operator
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Servers:
    """What all cases share: the real servers, and the folder of the test."""

    api: Api
    upstream: Upstream
    kubeconfig: Path
    etcd_address: str
    folder: Path

    @property
    def audit_log(self) -> Path:
        """Where the API server notes every write."""
        return self.kubeconfig.parent.parent / "logs" / "audit.log"


def administrator_of(kubeconfig: Path, folder: Path) -> Upstream:
    """The API server as its administrator speaks to it; the identity is written into the folder."""
    content = json.loads(kubeconfig.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    identity = folder / "administrator.pem"
    parts = (user["client-certificate-data"], user["client-key-data"])
    identity.write_bytes(b"\n".join(base64.b64decode(part) for part in parts))
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    context.load_cert_chain(identity)
    return Upstream(url=cluster["server"], tls=context)


@dataclass(kw_only=True)
class Case:
    """One change in a namespace and under a root path of its own."""

    servers: Servers
    story: Story
    script: Script | None
    starter: Starter
    release: Release
    etcd: EtcdClient
    root_path: str
    play: Play
    milvus: ActingMilvus
    environment: dict[str, str]
    uid: str = ""
    pid: int = 0
    succeeded: list[str] = field(default_factory=list)  # uids of the evicted pods that have a successor
    starts: int = 0
    gone: list[str | None] = field(default_factory=list)  # deletion costs of the pods that left
    generation: int = 0  # of the QueryNodes' owner, before the operator came
    revision: int = 0  # of etcd, then
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def api(self) -> Api:
        """The API server itself, past the proxy."""
        return self.servers.api

    @property
    def namespace(self) -> str:
        """Of the release and the MilvusTuning."""
        return self.release.namespace

    @property
    def log(self) -> Path:
        """What the operator printed."""
        return self.servers.folder / f"{self.namespace}.log"

    def run(self, until: str) -> None:
        """From the first start to two passes after the phase that a plan is to reach, over a crash if there is one."""
        self.start()
        if self.script is not None and self.script.fault in CRASHES:
            self.wait("the crash", lambda: self.play.crashed.is_set() or None)
            self.start()
        self.wait("the end", lambda: endings(self.api, self.namespace, until) or None)
        self.wait("what was held back", lambda: self.play.settled or None)
        seen = self.passes
        self.wait("further passes", lambda: self.passes >= seen + PASSES_AFTERWARDS or None)

    def start(self) -> None:
        """Start an operator process; what the script named is over with the second one."""
        if self.starts:
            self.play.next_process()
        self.starts += 1
        self.pid = self.starter.start(self.environment, self.log)

    @property
    def passes(self) -> int:
        """How often the operator read its MilvusTuning, which each pass begins with."""
        path = f"{COLLECTION.format(namespace=self.namespace)}/{TUNING}"
        return sum(1 for entry in list(self.play.journal) if entry.method == "GET" and entry.path == path)

    def wait(self, what: str, probe: Callable[[], T | None]) -> T:
        """The first answer of the probe, or an error that shows what went on."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = probe()
            if answer is not None:
                return answer
            if not (self.starter.alive(self.pid) or self.play.crashed.is_set()):  # a crash is noted before the kill
                raise AssertionError(f"{self.script}: the operator has ended by itself\n{self.told()}")
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"{self.script}: no sign of {what} within {PATIENCE_SECONDS:.0f} s\n{self.told()}")

    def told(self) -> str:
        """The last writes, the status and the end of the log, for a person."""
        writes = [str(entry) for entry in list(self.play.journal) if entry.method not in {"GET", "HEAD"}][-12:]
        log = self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""
        return "\n".join([*writes, told(self.api, self.namespace), log])

    # -- what the test plays ---------------------------------------------------------------------------------------

    def play_the_cluster(self) -> None:
        """Follow the replica count, until the case is over."""
        count = len(QUERY_NODE_IPS)
        while not self._over.wait(POLL_SECONDS):
            try:
                if isinstance(self.release, Installed):
                    self._milvus_operator_works(self.release)
                    continue
                wanted = self.release.count
                if wanted > count:
                    self._node_arrives()
                elif wanted < count:
                    self._node_leaves(count - 1)
                count = wanted
                if StepKind.RESTART_COMPONENT in self.story.steps:
                    self._evicted_pods_are_replaced()
            except Refused as refused:
                if refused.code != 409:  # the operator wrote between our reading and writing: look again
                    raise

    def _milvus_operator_works(self, installed: Installed) -> None:
        """A pass of it; Milvus's sessions in the real etcd follow its pods."""
        before = set(self.release.world.etcd)
        installed.let_the_operator_work(1)
        after = set(self.release.world.etcd)
        self.put_sessions(after - before)
        gone = [key.replace("by-dev", self.root_path, 1) for key in before - after]
        self.etcd.transaction(compare=[], then=[Delete(key=key) for key in gone])

    def _node_arrives(self) -> None:
        before = set(self.release.world.etcd)
        self.release.a_third_node_arrives()
        self.put_sessions(set(self.release.world.etcd) - before)
        assert NEW_NODE_ID not in QUERY_NODE_IPS.values()

    def _node_leaves(self, count: int) -> None:
        """What Kubernetes and Milvus do after a smaller count: the ready pod of the lowest cost goes."""
        pods = self.query_nodes()
        victim = min(pods, key=lambda pod: (int(cost_of(pod) or 0), pod["metadata"]["name"]))
        gone, stays = (
            QUERY_NODE_IPS[pod["status"]["podIP"]] for pod in sorted(pods, key=lambda one: one is not victim)
        )
        milvus = self.release.world.milvus
        for call in ("GetReplicas", "GetQuerySegmentInfo"):
            answer = milvus[call]
            assert isinstance(answer, Mapping), "nobody leaves in a story with a Milvus that acts"
            milvus[call] = without_node(answer, gone, stays)
        path = f"{self.release.path(PODS)}/{victim['metadata']['name']}"
        status = self.api.call("GET", self.release.deployment_path)["status"]
        names = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
        self.release.write_status(self.release.deployment_path, status | dict.fromkeys(names, count))
        self.api.call("DELETE", path, gracePeriodSeconds="0")
        self.gone.append(cost_of(victim))
        self.etcd.transaction(compare=[], then=[Delete(key=f"{self.root_path}/meta/session/querynode-{gone}")])

    def _evicted_pods_are_replaced(self) -> None:
        """What a ReplicaSet and the kubelet do after an eviction; of a QueryNode Milvus takes note, too."""
        path = self.release.path(PODS)
        for pod in self.api.call("GET", path)["items"]:
            if not pod["metadata"].get("deletionTimestamp"):
                continue
            if pod["metadata"]["uid"] not in self.succeeded:
                self._succeed(pod)
            self.api.call("DELETE", f"{path}/{pod['metadata']['name']}", gracePeriodSeconds="0")

    def resource(self) -> Object | None:
        """The Milvus object as it stands, where there is one."""
        return self.release.milvuses.read("my-release") if isinstance(self.release, Installed) else None

    def _succeed(self, pod: Object) -> None:
        """A ready successor, which for a QueryNode is another one to Milvus; what it served, the other one serves."""
        number = len(self.succeeded) + 1
        is_proxy = pod["metadata"]["labels"]["component"] == "proxy"
        successor = deepcopy(self.release.world.item(PODS, PROXY_POD if is_proxy else QUERY_NODE_PODS[0]))
        successor["metadata"] |= {"name": f"{successor['metadata']['name']}-{number}", "uid": f"successor-{number}"}
        if not is_proxy:
            ip = f"127.45.0.{SUCCESSORS + number}"
            successor["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}]}
            self._node_succeeds(pod["metadata"]["name"], successor["metadata"]["name"], SUCCESSORS + number, ip)
        self.release.create(PODS, successor)
        self.succeeded.append(pod["metadata"]["uid"])

    def _node_succeeds(self, pod: str, successor: str, new: int, ip: str) -> None:
        """A Milvus node drains, and another one registers."""
        world = self.release.world
        said = {one["metric"]["pod"]: one["metric"] for one in world.prometheus["node_id"]["data"]["result"]}
        if pod in said:  # else an earlier try came so far
            gone = int(said[pod]["node_id"])
            stays = next(int(one["node_id"]) for name, one in said.items() if name != pod)
            self.milvus.hand_over(gone, stays=stays, new=new)
            said[pod] |= {"pod": successor, "node_id": str(new)}
            self.etcd.transaction(compare=[], then=[Delete(key=f"{self.root_path}/meta/session/querynode-{gone}")])
        world.etcd[f"by-dev/meta/session/querynode-{new}"] = a_session(new, f"{ip}:21123")
        self.put_sessions({f"by-dev/meta/session/querynode-{new}"})

    def query_nodes(self) -> list[Object]:
        """The QueryNode pods as they stand."""
        pods: list[Object] = self.api.call("GET", self.release.path(PODS))["items"]
        return [pod for pod in pods if "querynode" in pod["metadata"]["name"]]

    def put_sessions(self, recorded_keys: set[str]) -> None:
        """Let Milvus nodes register in the real etcd."""
        sessions = {key.replace("by-dev", self.root_path, 1): self.release.world.etcd[key] for key in recorded_keys}
        self.etcd.transaction(compare=[], then=[Put(key=key, value=value) for key, value in sessions.items()])

    def close(self) -> None:
        """The curtain."""
        self._over.set()
        if self.pid:
            self.starter.kill(self.pid)


def cost_of(pod: Object) -> str | None:
    """The deletion cost that a pod carries."""
    cost: str | None = pod["metadata"].get("annotations", {}).get(DELETION_COST)
    return cost
