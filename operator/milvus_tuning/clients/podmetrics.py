"""A pod's own /metrics, asked directly: which Milvus node runs in it, without Prometheus between.

Used where Prometheus does not say it yet (a pod that was just started) or is not configured. One line is looked for:

    milvus_num_node{node_id="4",role_name="querynode"} 1
"""

from __future__ import annotations

import re

import urllib3

METRICS_PORT = 9091  # METRICS_PORT of Milvus, and of the container port `metrics` in chart and operator
LARGEST_REPLY_BYTES = 4 * 1024 * 1024  # a QueryNode of 2.3.5 with four collections gives 0.1 MB
_ROLE = re.compile(r'^milvus_num_node\{([^}]*role_name="querynode"[^}]*)\}', re.MULTILINE)
_NODE_ID = re.compile(r'node_id="(\d+)"')


def read_node_ids(ip: str, *, port: int, timeout_seconds: float) -> frozenset[int]:
    """The node ids of the QueryNodes that the process at this address says it is; empty when it does not answer."""
    host = f"[{ip}]" if ":" in ip else ip
    try:
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout_seconds)) as pool:
            reply = pool.request("GET", f"http://{host}:{port}/metrics", preload_content=False, redirect=False)
            text = reply.read(LARGEST_REPLY_BYTES).decode(errors="replace") if reply.status == 200 else ""
            reply.close()
    except urllib3.exceptions.HTTPError:
        return frozenset()
    return node_ids_in(text)


def node_ids_in(metrics: str) -> frozenset[int]:
    """The node ids of QueryNodes in a text in Prometheus's exposition format."""
    labels = _ROLE.findall(metrics)
    return frozenset(int(found.group(1)) for text in labels if (found := _NODE_ID.search(text)))
