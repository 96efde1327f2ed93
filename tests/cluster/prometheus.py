"""A real Prometheus in the namespace `monitoring`, Service `prometheus`, port 9090.

It finds pods by their port name "metrics" through the API server, as most installations do, and scrapes every 2 s so
that a test sees a change soon. Samples carry the labels namespace, pod, container and node.
"""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from tests.cluster.errors import ClusterError
from tests.cluster.images.catalogue import archive
from tests.cluster.images.progress import step
from tests.cluster.waiting import wait_until_ready

if TYPE_CHECKING:
    from tests.cluster import Cluster

RELEASE: Final = "prometheus"
NAMESPACE: Final = "monitoring"
CHART: Final = Path(__file__).parent / "charts" / "prometheus"
SCRAPE_INTERVAL_SECONDS: Final = 2
READY_SECONDS: Final = 90.0
READ_URL: Final = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


def install(cluster: "Cluster", scrape_interval_seconds: int = SCRAPE_INTERVAL_SECONDS) -> None:
    """Install or upgrade Prometheus and return when its pod is Ready."""
    cluster.import_image(archive())
    interval = f"scrapeIntervalSeconds={scrape_interval_seconds}"
    with step("Prometheus release"):
        cluster.helm(
            "upgrade",
            "--install",
            RELEASE,
            str(CHART),
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--set",
            interval,
        )
    wait_until_ready(cluster, NAMESPACE, READY_SECONDS)


def address(cluster: "Cluster") -> str:
    """Where a client inside the network namespace reaches Prometheus, as a URL."""
    return f"http://{cluster.resolve(RELEASE, NAMESPACE)}:9090"


def query(cluster: "Cluster", expression: str) -> list[dict[str, Any]]:
    """The instant vector of a PromQL expression, asked from inside the network namespace."""
    url = f"{address(cluster)}/api/v1/query?{urlencode({'query': expression})}"
    reply = json.loads(cluster.exec([sys.executable, "-c", READ_URL, url]).stdout)
    return list(reply["data"]["result"])


def wait_for_series(cluster: "Cluster", expression: str, timeout_seconds: float = 60.0) -> list[dict[str, Any]]:
    """The first result of the expression that is not empty."""
    deadline = time.monotonic() + timeout_seconds
    while not (found := query(cluster, expression)):
        if time.monotonic() > deadline:
            raise ClusterError(f"Prometheus has nothing for {expression} after {timeout_seconds:.0f} s")
        time.sleep(1)
    return found
