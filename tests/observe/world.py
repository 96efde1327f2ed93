"""Kubernetes, Milvus, Prometheus and etcd as servers on loopback, replaying what a real 2.3.5 cluster answered.

The recording is of one Helm release with two QueryNodes, one proxy and the collection `demo` with 12 segments. A test
changes the recorded objects before or while the servers run.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from kubernetes.client import ApiClient, Configuration

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.observe import Observer, queries
from milvus_tuning.settings import Settings
from milvus_tuning.snapshot import Snapshot
from tests.clients.http_server import Asked, Reply, a_server
from tests.clients.milvus_server import Override, a_milvus

RECORDED = Path(__file__).parent / "recorded"
NAMESPACE = "milvus"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PATIENT_SECONDS = 30.0  # what answers does so within it, on a busy machine too
DEPLOYMENTS = "/apis/apps/v1/namespaces/milvus/deployments"
REPLICA_SETS = "/apis/apps/v1/namespaces/milvus/replicasets"
PODS = "/api/v1/namespaces/milvus/pods"
SERVICES = "/api/v1/namespaces/milvus/services"
AUTOSCALERS = "/apis/autoscaling/v2/namespaces/milvus/horizontalpodautoscalers"
SCALED_OBJECTS = "/apis/keda.sh/v1alpha1/namespaces/milvus/scaledobjects"
CONFIG_MAP = "/api/v1/namespaces/milvus/configmaps/my-release-milvus"
QUERY_NODE_PODS = ("my-release-milvus-querynode-6c855dbf6b-7zmm4", "my-release-milvus-querynode-6c855dbf6b-b92hn")
_PLACEHOLDERS = {
    "$nodes": "[^{}]*querynode[^{}]*",
    "$proxies": "[^{}]*proxy[^{}]*",
    "$coordinators": "[^{}]*mixcoord[^{}]*",
    "$machines": "[^{}]*",
}
# The recorded pod addresses, moved into the loopback range: a test must not dial an address outside of this machine.
QUERY_NODE_IPS = {"127.45.0.7": 3, "127.45.0.8": 2}
PROXY_POD = "my-release-milvus-proxy-6b7bc65966-r76nz"


def recorded(name: str) -> Any:
    """A recording, fresh for each caller."""
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


def nothing() -> dict[str, Any]:
    """An empty answer of Prometheus, as to each query that was not recorded."""
    return a_vector()


def a_vector(*series: tuple[Mapping[str, str], float | str]) -> dict[str, Any]:
    """An answer of Prometheus: labels and value of each series."""
    result = [{"metric": dict(labels), "value": [1795416887.9, str(value)]} for labels, value in series]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def a_session(node_id: int, address: str) -> str:
    """A Milvus session as it is stored in etcd."""
    return json.dumps({"ServerID": node_id, "ServerName": "querynode", "Address": address})


@dataclass(slots=True)
class World:
    """What the servers answer; change it as the test needs. forbidden: paths of Kubernetes that answer 403."""

    kubernetes: dict[str, Any] = field(default_factory=lambda: recorded("kubernetes.json"))
    milvus: dict[str, Override] = field(default_factory=lambda: recorded("milvus.json"))
    prometheus: dict[str, Any] = field(default_factory=lambda: recorded("prometheus_busy.json"))
    etcd: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    prometheus_reply: Callable[[Asked], Reply] | None = None
    etcd_reply: Callable[[Asked], Reply] | None = None
    connections: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=lambda: {"targetRef": {"kind": "HelmRelease", "name": "my-release"}})
    addresses: dict[str, str] = field(default_factory=dict)
    asked: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for ip, node_id in QUERY_NODE_IPS.items():
            self.etcd[f"by-dev/meta/session/querynode-{node_id}"] = a_session(node_id, f"{ip}:21123")

    def item(self, path: str, name: str) -> dict[str, Any]:
        """The recorded object of a list, to be changed in place."""
        return next(found for found in self.kubernetes[path]["items"] if found["metadata"]["name"] == name)

    def deployment(self) -> dict[str, Any]:
        """The QueryNode Deployment."""
        return self.item(DEPLOYMENTS, "my-release-milvus-querynode")

    def pod(self, index: int = 0) -> dict[str, Any]:
        """A QueryNode pod."""
        return self.item(PODS, QUERY_NODE_PODS[index])

    def parsed_spec(self) -> MilvusTuningSpec:
        """The spec with the addresses of the servers."""
        connections = deepcopy(self.connections)
        connections.setdefault("milvus", {}).setdefault("uri", self.addresses["milvus"])
        connections.setdefault("etcd", {}).setdefault("endpoints", [self.addresses["etcd"]])
        if connections.setdefault("prometheus", {}) is None:
            del connections["prometheus"]
        else:
            connections["prometheus"].setdefault("url", self.addresses["prometheus"])
        return MilvusTuningSpec.model_validate(self.spec | {"connections": connections})

    def api_client(self) -> ApiClient:
        """A client of the recorded Kubernetes."""
        configuration = Configuration(host=self.addresses["kubernetes"])
        configuration.retries = 0
        return ApiClient(configuration)


@contextmanager
def serving(world: World) -> Iterator[World]:
    """Start the servers."""
    with ExitStack() as stack:
        answers: dict[str, Callable[[Asked], Reply]] = {
            "kubernetes": partial(_kubernetes, world),
            "prometheus": world.prometheus_reply or _prometheus(world),
            "etcd": world.etcd_reply or _etcd(world),
        }
        for name, answer in answers.items():
            world.addresses[name], world.asked[name] = stack.enter_context(a_server(answer))
        world.addresses["milvus"], servicer = stack.enter_context(a_milvus(world.milvus))
        world.asked["milvus"] = servicer.asked
        yield world


@contextmanager
def observing(world: World, *, timeout_seconds: float = PATIENT_SECONDS) -> Iterator[Observer]:
    """An observer of a served world, for several passes."""
    with closing(Observer(world.api_client(), Settings(request_timeout_seconds=timeout_seconds))) as observer:
        yield observer


def observe(world: World, *, timeout_seconds: float = PATIENT_SECONDS) -> Snapshot:
    """One snapshot of a served world."""
    with observing(world, timeout_seconds=timeout_seconds) as observer:
        return observer.observe(NAMESPACE, world.parsed_spec(), NOW)


def snapshot_of(world: World) -> Snapshot:
    """Serve a world for one snapshot."""
    with serving(world):
        return observe(world)


def _kubernetes(world: World, asked: Asked) -> Reply:
    if asked.path in world.forbidden:
        return Reply(status=403, body={"kind": "Status", "reason": "Forbidden"})
    if "/secrets/" in asked.path:
        return _secret(world, asked.path.rpartition("/")[2])
    found = world.kubernetes.get(asked.path)
    if found is None:
        return Reply(status=404, body={"kind": "Status", "reason": "NotFound"})
    return Reply(body=_selected(found, parse_qs(asked.query).get("labelSelector", [""])[0]))


def _selected(found: dict[str, Any], selector: str) -> dict[str, Any]:
    """A list reduced to what carries the labels of the selector, as the API server does."""
    wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
    if not wanted or "items" not in found:
        return found
    items = [item for item in found["items"] if wanted.items() <= item["metadata"].get("labels", {}).items()]
    return found | {"items": items}


def _secret(world: World, name: str) -> Reply:
    if name not in world.secrets:
        return Reply(status=404, body={"kind": "Status", "reason": "NotFound"})
    data = {key: base64.b64encode(text.encode()).decode() for key, text in world.secrets[name].items()}
    return Reply(body={"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}, "data": data})


def _prometheus(world: World) -> Callable[[Asked], Reply]:
    """Answers by which query of the table it is, told by its text up to the first matcher or window."""

    def answer(asked: Asked) -> Reply:
        expression = parse_qs(asked.body)["query"][0]
        return Reply(body=world.prometheus.get(_name_of(expression), nothing()))

    return answer


@cache
def _name_of(expression: str) -> str:
    return next(query.name for query in queries.QUERIES if _pattern(query).fullmatch(expression))


@cache
def _pattern(query: queries.Query) -> re.Pattern[str]:
    parts = re.split(r"(\$\w+)", query.template)
    return re.compile(
        "".join(_PLACEHOLDERS.get(part, r"\w+") if part[:1] == "$" else re.escape(part) for part in parts)
    )


def _etcd(world: World) -> Callable[[Asked], Reply]:
    """The range call of etcd's JSON gateway over a dictionary."""

    def answer(asked: Asked) -> Reply:
        body = json.loads(asked.body)
        start, end = base64.b64decode(body["key"]).decode(), base64.b64decode(body.get("range_end", "")).decode()
        found = {key: value for key, value in sorted(world.etcd.items()) if start <= key < end}
        return Reply(body={"header": {}, "kvs": [_stored(key, value) for key, value in found.items()]})

    return answer


def _stored(key: str, value: str) -> Mapping[str, str]:
    return {
        "key": base64.b64encode(key.encode()).decode(),
        "value": base64.b64encode(value.encode()).decode(),
        "mod_revision": "42",
    }
