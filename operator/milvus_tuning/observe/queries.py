"""Every PromQL expression that the operator asks, in one table.

One expression per number for the whole cluster, never one per pod. Placeholders:

    $nodes $proxies $coordinators   label matchers that pick the pods of this cluster, with the user's own matchers
    $machines                       the user's own matchers, which may fit node_exporter's series or not
    $pod                            the label that holds the pod's name
    $window                         length of a rate or average, such as 30s

The window follows the scrape interval, which nobody tells: SAMPLES counts the samples of two minutes, and four
intervals are taken, at least 30 s and at most 300 s. Scraped every 2 s: 30 s; every 15 s: 60 s; every 30 s: 120 s.

Two Prometheis behind one address give every series twice. So each expression first takes the maximum over what tells
the copies apart (`max by` the labels of Milvus itself) and sums afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Template

from milvus_tuning.api import PrometheusLabels

COUNTED_SECONDS = 120
SHORTEST_WINDOW_SECONDS = 30
LONGEST_WINDOW_SECONDS = 300
USUAL_HOURS = 6
INTERVALS_PER_WINDOW = 4  # Prometheus's own advice for rate(): two samples must remain when one scrape fails
MATCHES_NOTHING = "^$"
MOST_NODE_SEARCHES = 20_000  # pairs of QueryNode and collection, about 3 MB; beyond, the least searched are left out

_SEARCH = 'query_type=~"search|hybrid_search"'
_READS = 'function_name=~"Search|HybridSearch|Query"'
# Outcomes that are no failure of the server: begun, finished well, repeated by the proxy, or the caller's mistake.
_NO_FAILURE = 'status!~"total|success|retry|fail_input|rejected_user"'
_LEADERS = f'{_SEARCH},scope="OnLeader"'  # a shard leader's time, that of the QueryNodes it asks within
# What leads to pods and tunnels, as the network plugins name it. The kernel says 10 Gbit/s of every veth.
_OF_PODS = (
    "veth.*|cni.*|flannel.*|vxlan.*|genev.*|tunl.*|tap.*|cali.*|cilium.*|lxc.*|eni[0-9a-f]{11}|azv.*|gke[0-9a-f]{11}|"
    "[0-9a-f]{15}|ovn.*|ovs.*|antrea.*|weave.*|kube.*|nodelocaldns|dummy.*"
)
_DEVICES = f'device!~"lo|{_OF_PODS}|docker.*|br.*|virbr.*"'
_NODE_SERIES = "$pod, node_id, query_type, collection_id"
_PROXY_SERIES = "$pod, node_id, db_name, collection_name"


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """An expression and what its result means.

    zero_when_absent: a counter or gauge vector of Milvus has no series before its first event, so where the pod is
    scraped and no series is there, the number is a true 0. Everywhere else absent is missing.
    """

    name: str
    template: str
    meaning: str
    unit: str
    source: str
    zero_when_absent: bool = False

    def expression(self, selectors: Selectors, window_seconds: int) -> str:
        """The PromQL text for one cluster."""
        return Template(self.template).substitute(
            nodes=selectors.nodes,
            proxies=selectors.proxies,
            coordinators=selectors.coordinators,
            machines=selectors.machines,
            pod=selectors.pod_label,
            window=f"{window_seconds}s",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Selectors:
    """Label matchers of one cluster, ready to be put between braces, and the pod label."""

    nodes: str
    proxies: str
    coordinators: str
    pod_label: str
    machines: str = ""


def _above_usual(count: str) -> str:
    """A count less its lowest value of the hours before the last one; the count itself where none is known.

    What has gone on for hours is how this cluster lives, and a gauge that Milvus increments and decrements may have
    lost a decrement for good: neither may hold the operator still for ever.
    """
    return f"{count} - (min_over_time(({count})[{USUAL_HOURS}h:10m] offset 1h) or vector(0))"


NODE_AGE = Query(
    name="node_age",
    template="time() - min by ($pod) (timestamp(process_resident_memory_bytes{$nodes}))",
    meaning="time since a QueryNode was last scraped, by Prometheus's own clock",
    unit="s",
    source="Go process collector, all versions",
)
PROXY_AGE = Query(
    name="proxy_age",
    template="time() - min by ($pod) (timestamp(process_resident_memory_bytes{$proxies}))",
    meaning="time since a proxy was last scraped",
    unit="s",
    source="Go process collector, all versions",
)
SAMPLES = Query(
    name="samples",
    template=f"max(count_over_time(process_resident_memory_bytes{{$nodes}}[{COUNTED_SECONDS}s]))",
    meaning="samples of a series within two minutes, from which the scrape interval follows",
    unit="1",
    source="Go process collector, all versions",
)
NODE_ID = Query(
    name="node_id",
    template='max by ($pod, node_id) (milvus_num_node{$nodes,role_name="querynode"})',
    meaning="Milvus node ids that a pod itself says it runs",
    unit="1",
    source="milvus_num_node, all versions",
)
RESIDENT_MEMORY = Query(
    name="resident_memory",
    template="max by ($pod) (process_resident_memory_bytes{$nodes})",
    meaning="resident memory of a QueryNode",
    unit="bytes",
    source="Go process collector, all versions",
)
LOADED_BYTES = Query(
    name="loaded_bytes",
    template="sum by ($pod) (max by ($pod, node_id, collection_id, segment_state) "
    "(milvus_querynode_entity_size{$nodes}))",
    meaning="size of the segments that a QueryNode has loaded",
    unit="bytes",
    source="milvus_querynode_entity_size, all versions (segment_num counts wrongly on 2.3.5 and is not used)",
    zero_when_absent=True,
)
CPU = Query(
    name="cpu",
    template="max by ($pod) (rate(process_cpu_seconds_total{$nodes}[$window]))",
    meaning="CPU that a QueryNode uses",
    unit="cores",
    source="Go process collector, all versions",
)
READ_CONCURRENCY = Query(
    name="read_concurrency",
    template="max by ($pod) (avg_over_time(milvus_querynode_read_task_concurrency{$nodes}[$window]))",
    meaning="read tasks that run at once in a QueryNode, averaged over the window",
    unit="tasks",
    source="milvus_querynode_read_task_concurrency, all versions",
)
QUEUE_LATENCY = Query(
    name="queue_latency",
    template=f"sum by ($pod) (rate(milvus_querynode_sq_queue_latency_sum{{$nodes,{_SEARCH}}}[$window]))"
    f" / sum by ($pod) (rate(milvus_querynode_sq_queue_latency_count{{$nodes,{_SEARCH}}}[$window]))",
    meaning="mean wait of a search task in a QueryNode before it runs",
    unit="ms",
    source="milvus_querynode_sq_queue_latency, all versions",
)
SEARCHES = Query(
    name="searches",
    template=f"sum(max by ({_PROXY_SERIES}, function_name)"
    f' (rate(milvus_proxy_req_count{{$proxies,status="total",{_READS}}}[$window])))',
    meaning="searches and queries that clients send",
    unit="1/s",
    source="milvus_proxy_req_count; status total is counted beside the outcomes, so it alone is the number of requests",
    zero_when_absent=True,
)
FAILED = Query(
    name="failed",
    template=f"sum(max by ({_PROXY_SERIES}, function_name, status, cause)"
    f" (rate(milvus_proxy_req_count{{$proxies,{_NO_FAILURE},{_READS}}}[$window])))",
    meaning="searches and queries that did not succeed, for a reason that is not the caller's",
    unit="1/s",
    source="milvus_proxy_req_count; outcomes: fail, abandon (2.3), cancel, rejected (2.4), fail_system (2.6.18)",
    zero_when_absent=True,
)
P99 = Query(
    name="p99",
    template="histogram_quantile(0.99, sum by (le) (max by "
    f"({_PROXY_SERIES}, query_type, le) (rate(milvus_proxy_sq_latency_bucket{{$proxies,{_SEARCH}}}[$window]))))",
    meaning="99 of 100 searches are answered within; buckets are powers of two, so it is exact to a factor of two only",
    unit="ms",
    source="milvus_proxy_sq_latency, all versions",
)
MEAN_LATENCY = Query(
    name="mean_latency",
    template=f"sum(rate(milvus_proxy_sq_latency_sum{{$proxies,{_SEARCH}}}[$window]))"
    f" / sum(rate(milvus_proxy_sq_latency_count{{$proxies,{_SEARCH}}}[$window]))",
    meaning="mean latency of a search at the proxies",
    unit="ms",
    source="milvus_proxy_sq_latency, all versions",
)
COLLECTION_SEARCHES = Query(
    name="collection_searches",
    template="sum by (db_name, collection_name) (max by "
    f"({_PROXY_SERIES}, query_type) (rate(milvus_proxy_collection_sq_latency_count{{$proxies,{_SEARCH}}}[$window])))",
    meaning="searches per collection; db_name is there from 2.6",
    unit="1/s",
    source="milvus_proxy_collection_sq_latency, all versions",
    zero_when_absent=True,
)
NODE_COLLECTION_SEARCHES = Query(
    name="node_collection_searches",
    template=f"topk({MOST_NODE_SEARCHES}, sum by ($pod, collection_id) (max by ({_NODE_SERIES})"
    f' (rate(milvus_querynode_sq_req_count{{$nodes,{_SEARCH},scope="FromLeader",status="total",collection_id!=""}}'
    "[$window]))))",
    meaning="searches of a collection's segments that a QueryNode carries out for the shard leaders: one for each "
    "search and shard with segments there, one more for growing ones",
    unit="1/s",
    source="milvus_querynode_sq_req_count; it has a collection from 2.4, and status total beside the outcomes",
)
QUOTA_STATES = Query(
    name="quota_states",
    template="max by (quota_states) (milvus_rootcoord_quota_states{$coordinators}) > 0",
    meaning="quota states in force, such as MemoryQuotaExhausted",
    unit="1",
    source="milvus_rootcoord_quota_states, all versions",
)

LATENCY_BUCKETS = Query(
    name="latency_buckets",
    template="sum by (le) (max by "
    f"({_PROXY_SERIES}, query_type, le) (rate(milvus_proxy_sq_latency_bucket{{$proxies,{_SEARCH}}}[$window])))",
    meaning="searches answered within each bound (label le, ms)",
    unit="1/s",
    source="milvus_proxy_sq_latency, all versions",
)
INDEX_BUILDS = Query(
    name="index_builds",
    template=_above_usual(
        "sum(max by (collection_id, index_task_status)"
        ' (milvus_datacoord_index_task_count{$coordinators,index_task_status=~"unissued|in-progress"})'
        " or max by (task_type, task_state) (milvus_datacoord_task_count"
        '{$coordinators,task_type="JobTypeIndexJob",task_state=~"JobStateInit|JobStateInProgress|JobStateRetry"}))'
    ),
    meaning="indexes of segments that wait or are being built, above what is usual",
    unit="1",
    source="milvus_datacoord_index_task_count up to 2.5.4, milvus_datacoord_task_count from 2.5.5",
)
COMPACTIONS = Query(
    name="compactions",
    template=_above_usual(
        "sum(max by (node_id, compaction_type, status)"
        ' (milvus_datacoord_compaction_task_num{$coordinators,status=~"pending|executing"}))'
    ),
    meaning="compactions that wait or run, above what is usual; a task changes its node_id, so only the sum is right",
    unit="1",
    source="milvus_datacoord_compaction_task_num, not in 2.3.5",
)
IMPORTS = Query(
    name="imports",
    template=_above_usual(
        "sum(max by (import_state, version)"
        ' (milvus_datacoord_import_jobs{$coordinators,import_state!~"None|Completed|Failed|Uncommitted"}))'
    ),
    meaning="bulk imports under way, above what is usual; an Uncommitted one is done and waits for a person",
    unit="1",
    source="milvus_datacoord_import_jobs, from 2.4",
)

LINK_SPEED = Query(
    name="link_speed",
    template="8 * (min(max by (instance) "
    f"(node_network_speed_bytes{{{_DEVICES},$machines}} > 0 and node_network_up{{{_DEVICES},$machines}} == 1))"
    " or min(max by (instance) "
    f"(node_network_speed_bytes{{{_DEVICES}}} > 0 and node_network_up{{{_DEVICES}}} == 1)))",
    meaning="speed of the fastest physical link that is up, on the slowest machine; -1 and 0 mean unknown and are left "
    "out. node_exporter tells machines and not pods, so all machines with the user's own matchers are taken, and where "
    "these exclude every machine, all that this Prometheus knows",
    unit="bit/s",
    source="node_exporter, collector netclass",
)
NETWORK_SHARE = Query(
    name="network_share",
    template=f"1 - sum(rate(milvus_querynode_sq_req_latency_sum{{$nodes,{_LEADERS}}}[$window]))"
    f" / sum(rate(milvus_querynode_sq_req_latency_count{{$nodes,{_LEADERS}}}[$window]))"
    f" / (sum(rate(milvus_proxy_sq_latency_sum{{$proxies,{_SEARCH}}}[$window]))"
    f" / sum(rate(milvus_proxy_sq_latency_count{{$proxies,{_SEARCH}}}[$window])))",
    meaning="share of a search's latency that is not spent at its shard leaders: 1 - mean there / mean at the proxies; "
    "the proxies' own work is in it, so it is the most that the network can be",
    unit="1",
    source="milvus_querynode_sq_req_latency and milvus_proxy_sq_latency, all versions",
)

FIRST = (NODE_AGE, PROXY_AGE, SAMPLES, NODE_ID)  # independent of the window
SECOND = (
    RESIDENT_MEMORY,
    LOADED_BYTES,
    CPU,
    READ_CONCURRENCY,
    QUEUE_LATENCY,
    SEARCHES,
    FAILED,
    P99,
    MEAN_LATENCY,
    COLLECTION_SEARCHES,
    NODE_COLLECTION_SEARCHES,
    QUOTA_STATES,
    INDEX_BUILDS,
    COMPACTIONS,
    IMPORTS,
)
EFFECT_FIRST = (NODE_AGE, PROXY_AGE, SAMPLES)
EFFECT = (CPU, QUEUE_LATENCY, SEARCHES, FAILED, P99, MEAN_LATENCY, LATENCY_BUCKETS)  # over the verification window
NETWORK = (LINK_SPEED, NETWORK_SHARE)  # only where the policy declares the network
QUERIES = (*FIRST, *SECOND, LATENCY_BUCKETS, *NETWORK)


def selectors(
    namespace: str,
    labels: PrometheusLabels,
    matchers: Mapping[str, str],
    *,
    nodes: Iterable[str],
    proxies: Iterable[str],
    coordinators: Iterable[str],
) -> Selectors:
    """The matchers of one cluster: exactly these pods, in this namespace, with the user's own labels."""
    own = [f"{name}={_quoted(value)}" for name, value in sorted(matchers.items())]
    fixed = [f"{labels.namespace}={_quoted(namespace)}", *own]

    def of(pods: Iterable[str]) -> str:
        pattern = "|".join(re.escape(pod) for pod in sorted(pods)) or MATCHES_NOTHING
        return ",".join([*fixed, f"{labels.pod}=~{_quoted(pattern)}", f'{labels.pod}!=""'])

    return Selectors(
        nodes=of(nodes),
        proxies=of(proxies),
        coordinators=of(coordinators),
        pod_label=labels.pod,
        machines=",".join(own),
    )


def window_seconds(samples: float | None) -> int:
    """The window for a series with this many samples in two minutes: 60 give 30 s, 8 give 60 s, 4 give 120 s."""
    if not samples or samples < 1:
        return LONGEST_WINDOW_SECONDS
    window = round(INTERVALS_PER_WINDOW * COUNTED_SECONDS / samples)
    return min(max(window, SHORTEST_WINDOW_SECONDS), LONGEST_WINDOW_SECONDS)


def _quoted(text: str) -> str:
    """A PromQL string: nothing in it can end it early."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
