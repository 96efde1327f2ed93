"""Wait until the pods of a namespace are Ready, and say on the way which are not."""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tests.cluster.errors import ClusterError

if TYPE_CHECKING:
    from tests.cluster import Cluster

POLL_SECONDS = 1.0


def wait_until_ready(cluster: "Cluster", namespace: str, timeout_seconds: float) -> None:
    """Return when every pod that Deployments and StatefulSets of the namespace ask for is Ready."""
    started = time.monotonic()
    said = ""
    while True:
        workloads = json.loads(cluster.kubectl("-n", namespace, "get", "deployments,statefulsets", "-o", "json"))[
            "items"
        ]
        waiting = ", ".join(unready(workloads))
        seconds = time.monotonic() - started
        if not waiting:
            print(f"    {namespace}: all pods Ready after {seconds:.0f} s", file=sys.stderr, flush=True)
            return
        if waiting != said:
            print(f"    {seconds:3.0f} s {namespace}: waiting for {waiting}", file=sys.stderr, flush=True)
            said = waiting
        if seconds > timeout_seconds:
            pods = cluster.kubectl("-n", namespace, "get", "pods", "-o", "wide")
            raise ClusterError(f"{namespace}: not Ready within {timeout_seconds:.0f} s: {waiting}\n{pods}")
        time.sleep(POLL_SECONDS)


def unready(workloads: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names with ready and wanted counts, for what is not complete or not yet seen by its controller."""
    return [line for workload in workloads if (line := _missing(workload))]


def _missing(workload: Mapping[str, Any]) -> str | None:
    wanted = workload["spec"].get("replicas", 1)
    status = workload.get("status", {})
    ready = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
    seen = status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
    if seen and ready == wanted == status.get("replicas", 0):
        return None
    return f"{workload['metadata']['name']} {ready}/{wanted}"
