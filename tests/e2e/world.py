"""What the end-to-end tests do to the real cluster, and what they see of it from outside the operator.

Figures come from the load client and from Milvus's own placement; the operator's status is read only to learn when it
thinks it is done and which reason it gives.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient

from tests.cluster.audit import requests
from tests.e2e.etcd import read_prefix
from tests.load.commands import calibrate_by_process
from tests.load.options import RunOptions
from tests.load.prepare import Dataset, prepare
from tests.load.process import LoadProcess
from tests.placement import Placement, read_placement
from tests.waiting import wait_for

NAMESPACE, RELEASE = "milvus", "my-release"
DEPLOYMENT = f"{RELEASE}-milvus-querynode"
OPERATOR_NAMESPACE, OPERATOR = "milvus-tuning-system", "milvus-tuning-operator"
COLLECTION = "even"
DATASET = Dataset(rows=120_000, dim=128, segments=24, shards=3)  # scanning outweighs the calls between nodes
SEARCH_TIMEOUT_SECONDS, CALIBRATION_SECONDS = 60.0, 16.0

BASE_SPEC: dict[str, Any] = {
    "targetRef": {"kind": "HelmRelease", "name": RELEASE, "allowHelmOwnedFields": True},
    "mode": "Auto",
    "connections": {"prometheus": {"url": "http://prometheus.monitoring:9090"}},
    "approval": {"automatic": {"maxRisk": "High", "maxActionsPerHour": 60}},
    # Short, and so wide that nothing is rolled back: what a verdict rests on is tested in test_plans.py.
    "verification": {
        "windowSeconds": 10,
        "settleSeconds": 0,
        "latencyTolerancePercent": 1000,
        "failureTolerancePerMillion": 1_000_000,
        "slowTolerancePerMillion": 1_000_000,
    },
    "queryNodes": {
        "minCount": 2,
        "maxCount": 3,
        "scaleOut": {
            "computationWindowSeconds": 15,
            "capacityWindowSeconds": 30,
            "cooldownSeconds": 5,
            "maxStep": 1,
            "readyDeadlineSeconds": 90,
        },
        "scaleIn": {"computationWindowSeconds": 20, "capacityWindowSeconds": 20, "cooldownSeconds": 5},
    },
}


def spec(**changes: Any) -> dict[str, Any]:
    """The common spec with short windows; nested maps in `changes` are merged, None removes."""
    return merged(BASE_SPEC, changes)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of base with changes laid over it, map by map."""
    result = deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The embedded cluster with Milvus, Prometheus and the operator, seen from inside its network namespace."""

    environment: Mapping[str, str]
    uri: str
    etcd: str  # Milvus's etcd
    audit_log: Path
    capacity_qps: float  # searches per second that two QueryNodes were measured to carry

    # -- Kubernetes ------------------------------------------------------------------------------------------------

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Standard output of kubectl; AssertionError with its standard error when it fails."""
        done = self.try_kubectl(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def try_kubectl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl, whatever comes of it."""
        return subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
            env=dict(self.environment),
        )

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object as JSON."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return answer

    def tune(self, name: str, tuning_spec: Mapping[str, Any]) -> None:
        """Create or change a MilvusTuning in Milvus's namespace."""
        body = {
            "apiVersion": "milvustuning.io/v1alpha1",
            "kind": "MilvusTuning",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": dict(tuning_spec),
        }
        self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def untune(self) -> None:
        """Delete all MilvusTuning objects and await their end."""
        self.kubectl("-n", NAMESPACE, "delete", "milvustunings", "--all", "--wait", "--timeout=90s")

    def status(self, name: str) -> dict[str, Any]:
        """The status of a MilvusTuning; empty before the first pass."""
        answer: dict[str, Any] = self.get("-n", NAMESPACE, "milvustuning", name).get("status", {})
        return answer

    def reason(self, name: str) -> str:
        """The reason of the last decision."""
        return str(self.status(name).get("decision", {}).get("reason", ""))

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """One condition, or an empty map."""
        conditions = self.status(name).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == kind), {})

    def plans(self, name: str) -> list[dict[str, Any]]:
        """The plans of a MilvusTuning, oldest first."""
        policy = self.get("-n", NAMESPACE, "milvustuning", name)["metadata"]["uid"]
        found = self.get("-n", NAMESPACE, "milvustuningplans")["items"]
        own = [plan for plan in found if plan["spec"]["change"]["policy"]["uid"] == policy]
        return sorted(own, key=lambda plan: int(plan["spec"]["change"]["sequence"]))

    def vote(self, plan: Mapping[str, Any], decision: str) -> None:
        """A person's word on the plan."""
        patch = json.dumps({"spec": {"approval": {"decision": decision}}})
        self.kubectl(
            "-n", NAMESPACE, "patch", "milvustuningplan", plan["metadata"]["name"], "--type=merge", "-p", patch
        )

    def outcomes(self, name: str) -> list[str]:
        """How the steps of the plans ended that were begun and are not at work any more, oldest first."""
        stati = [plan.get("status", {}) for plan in self.plans(name)]
        return [status["outcome"] for status in stati if "outcome" in status]

    def at_work(self, name: str) -> bool:
        """Whether a plan waits to be begun, or is being carried out."""
        phases = [plan.get("status", {}).get("phase") for plan in self.plans(name)]
        return any(phase not in {"Verifying", "Finished"} for phase in phases)

    def desired(self) -> int:
        """The replica count of the QueryNode Deployment."""
        return int(self.get("-n", NAMESPACE, "deployment", DEPLOYMENT)["spec"]["replicas"])

    def ready_query_nodes(self) -> list[str]:
        """Names of the ready QueryNode pods that are not leaving."""
        pods = self.get("-n", NAMESPACE, "pods", "-l", f"component=querynode,app.kubernetes.io/instance={RELEASE}")
        return [
            pod["metadata"]["name"]
            for pod in pods["items"]
            if "deletionTimestamp" not in pod["metadata"] and _is_ready(pod)
        ]

    def scale(self, count: int) -> None:
        """Set the size by hand, and await it: ready pods, and rows even on them."""
        self.kubectl("-n", NAMESPACE, "scale", "deployment", DEPLOYMENT, f"--replicas={count}")
        self.await_even(count)

    def scale_writes(self) -> int:
        """How often the operator wrote the QueryNode Deployment's size, by the API server's audit log."""
        user = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR}"
        return sum(
            request.user == user
            and request.succeeded
            and request.verb in {"patch", "update"}
            and request.name == DEPLOYMENT
            for request in requests(self.audit_log)
        )

    def settings(self) -> dict[str, str]:
        """What is stored in etcd under Milvus's config prefix."""
        return read_prefix(self.etcd, "by-dev/config/")

    # -- Milvus ----------------------------------------------------------------------------------------------------

    def placement(self) -> Placement:
        """Where Milvus says its segments are."""
        client = MilvusClient(self.uri)
        try:
            return read_placement(client)
        finally:
            client.close()

    def await_even(self, count: int) -> None:
        """Await that the rows lie evenly on so many QueryNodes, and on nothing else."""

        def even() -> bool:
            rows = [node.rows for node in self.placement().nodes.values()]
            return (
                len(self.ready_query_nodes()) == count
                and len(rows) == count
                and sum(rows) > 0
                and max(rows) <= 1.3 * sum(rows) / count
            )

        wait_for(even, f"rows to be even on {count} QueryNodes", seconds=180, every=2)

    def load(self, share: float, *, collections: Sequence[str] = (COLLECTION,)) -> LoadProcess:
        """Open-loop searches at a share of what two QueryNodes carry."""
        return LoadProcess(load_options(self.uri, collections, rate=share * self.capacity_qps))


def load_options(uri: str, collections: Sequence[str], *, rate: float = 0.0) -> RunOptions:
    """The searches that are measured and sent: replies are compared, so that missing rows count as failures."""
    return RunOptions(
        uri=uri,
        collections=tuple(collections),
        rate=rate,
        timeout_seconds=SEARCH_TIMEOUT_SECONDS,
        max_in_flight=8192,
        verify=True,
    )


def measure_capacity(uri: str, collection: str = COLLECTION) -> float:
    """Searches per second that the present QueryNodes carry, by a closed loop."""
    return calibrate_by_process(load_options(uri, [collection]), seconds=CALIBRATION_SECONDS).capacity_qps


def prepare_dataset(uri: str) -> None:
    """Make the collection the tests search, unless it is there."""
    prepare(uri, COLLECTION, DATASET)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
