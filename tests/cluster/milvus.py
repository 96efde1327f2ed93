"""A real multi-node Milvus 2.3.5 in the cluster, installed as the Helm release `my-release` in the namespace `milvus`.

The chart (charts/milvus) has the names, labels, Services and ConfigMap of the official one. Everything starts at once:
etcd answers after 1 s, Kafka after 5 s, and Milvus's roles wait for them by themselves. Ready means that all pods are
Ready and that a client was told the version through the Service.

The release renders no replica count for QueryNodes (queryNode.replicas -1), as users do who let something else scale
them; the two that a fresh install starts with are set once, by the scale subresource. So a second `install` leaves the
count alone that an operator or a test has reached, and Helm does not fight about the field.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.cluster.errors import ClusterError
from tests.cluster.images.catalogue import archive
from tests.cluster.images.progress import step
from tests.cluster.waiting import wait_until_ready

if TYPE_CHECKING:
    from tests.cluster import Cluster

RELEASE: Final = "my-release"
NAMESPACE: Final = "milvus"
SERVICE: Final = f"{RELEASE}-milvus"
CHART: Final = Path(__file__).parent / "charts" / "milvus"
QUERY_NODES: Final = 2
COUNT_VALUE: Final = "queryNode.replicas"
READY_SECONDS: Final = 240.0
ASK_VERSION: Final = (
    "import sys, pymilvus; print(pymilvus.MilvusClient(uri=sys.argv[1], timeout=5).get_server_version())"
)


def install(cluster: "Cluster", values: Mapping[str, str] | None = None) -> None:
    """Install or upgrade Milvus and return when it answers; `values` are --set arguments of Helm by their path."""
    with step("Milvus images"):
        cluster.import_image(archive())
    fresh = not _installed(cluster)
    settings = {"storage.hostPath": str(cluster.store_dir / NAMESPACE), COUNT_VALUE: "-1", **(values or {})}
    with step("Milvus release"):
        _upgrade(cluster, settings)
    if fresh and settings[COUNT_VALUE] == "-1":
        scale(cluster, QUERY_NODES)
    wait_until_ready(cluster, NAMESPACE, READY_SECONDS)
    with step("Milvus answers"):
        version = wait_for_answer(cluster)
    print(f"    Milvus {version} at {SERVICE}.{NAMESPACE}:19530", file=sys.stderr, flush=True)


def scale(cluster: "Cluster", query_nodes: int) -> None:
    """Ask for this many QueryNodes; returns at once."""
    cluster.kubectl("-n", NAMESPACE, "scale", f"deployment/{SERVICE}-querynode", f"--replicas={query_nodes}")


def address(cluster: "Cluster") -> str:
    """Where a client inside the network namespace reaches Milvus, as a URI."""
    return f"http://{cluster.resolve(SERVICE, NAMESPACE)}:19530"


def wait_for_answer(cluster: "Cluster", timeout_seconds: float = 60.0) -> str:
    """The version that Milvus reports to pymilvus; the proxy serves a little after its pod is Ready."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        asked = cluster.exec([sys.executable, "-W", "ignore", "-c", ASK_VERSION, address(cluster)], check=False)
        if asked.returncode == 0:
            return asked.stdout.strip()
        if time.monotonic() > deadline:
            raise ClusterError(f"Milvus did not answer within {timeout_seconds:.0f} s: {asked.stderr[-1000:]}")
        time.sleep(1)


def _installed(cluster: "Cluster") -> bool:
    wanted = f"deployment/{SERVICE}-querynode"
    return bool(cluster.kubectl("-n", NAMESPACE, "get", wanted, "--ignore-not-found", "-o", "name").strip())


def _upgrade(cluster: "Cluster", values: Mapping[str, str]) -> None:
    sets = [word for path, value in values.items() for word in ("--set", f"{path}={value}")]
    cluster.helm("upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace", *sets)
